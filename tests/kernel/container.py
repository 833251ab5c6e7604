"""The container that the machines of kernel tests are in."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab import images, lock
from lab.confinement import SANDBOX
from lab.engine import Engine, FileContent, text_files
from lab.events import Reporter
from lab.faults.impairment.inside import PROGRAM as IMPAIR
from lab.images import build_context
from lab.labels import NAME
from lab.node.files import daemon_files
from lab.sandbox import Box
from tests.kernel import programs
from tests.kernel.harness import Sandbox

__all__ = ["open_container"]

# There is no registry to get Ryuk from everywhere; `lab gc` removes by label what a killed run left.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"


@contextmanager
def open_container(engine: Engine) -> Iterator[Sandbox]:
    """A throw-away container of the node image: today's daemon, and no network at all."""
    from testcontainers.core.container import DockerContainer

    name = f"test-{secrets.token_hex(4)}"
    node = (
        DockerContainer(images.ensure(engine, Reporter()).node)
        .with_command("sleep infinity")
        .with_name(f"lab-{name}")
        .with_kwargs(
            network_mode="none",
            cap_add=list(SANDBOX.capabilities),
            devices=list(SANDBOX.devices),
            security_opt=list(SANDBOX.security),
            init=True,
            labels={NAME: name},
        )
    )
    for path in SANDBOX.tmpfs:
        node.with_tmpfs_mount(path)
    with lock.held(engine.id, name), node:
        identifier = str(node.get_wrapped_container().id)
        impair = text_files(IMPAIR.texts())
        files = {**daemon_files(), **strict_files(), **programs.files(), **impair}
        engine.put_files(identifier, files)
        box = Box(engine, identifier)
        box.must("/usr/local/sbin/lab-proc")  # or they could not forward packets
        yield Sandbox(box)
        box.end()


def strict_files() -> Mapping[str, FileContent]:
    """What makes every Python there, a `python3 -I` too, end at an error that it would only print."""
    folder = f"/usr/local/lib/python{build_context.PYTHON}/dist-packages"
    hooks = Path(__file__).parents[1] / "strict" / "sitecustomize.py"
    return {
        f"{folder}/strict.py": FileContent(hooks.read_bytes()),
        f"{folder}/strict.pth": FileContent(b"import strict\n"),
    }
