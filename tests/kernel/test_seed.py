"""The engine that fills the seed volume, on a machine on which it does not start at once."""

import io
import secrets
from collections.abc import Iterator

import pytest

from lab import images, lock
from lab.cluster import remove_all
from lab.confinement import SEED_MAKER
from lab.engine import ContainerConfig, Engine, ExecResult, FileContent, tar
from lab.events import Reporter
from lab.labels import NAME

pytestmark = pytest.mark.kernel

# What dockerd said on an emulated machine, for the first `$TIMES` starts.
SLOW = b"""#!/bin/sh
echo start >> /run/starts
[ "$(wc -l < /run/starts)" -gt "$(cat /times)" ] && exec /usr/sbin/dockerd "$@"
echo 'failed to start containerd: timeout waiting for containerd to start' >&2
exit 1
"""


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    chosen = f"test-{secrets.token_hex(4)}"
    with lock.held(engine.id, chosen):
        yield chosen
        list(remove_all(engine, chosen))
        engine.remove_image(f"{chosen}:tiny")


def filled(engine: Engine, name: str, *, times: int) -> ExecResult:
    """Fill a volume with a tiny image; dockerd fails so many times first."""
    node, tiny = images.ensure(engine, Reporter()).node, f"{name}:tiny"
    engine.import_image(io.BytesIO(tar({"/file": FileContent(b"x")})), tag=tiny, labels={NAME: name})
    container = engine.create(
        ContainerConfig(
            name=f"lab-{name}",
            image=node,
            labels={NAME: name},
            command=("sleep", "infinity"),
            confinement=SEED_MAKER,
        )
    )
    slow = {"/usr/local/bin/dockerd": FileContent(SLOW, 0o755), "/times": FileContent(f"{times}".encode())}
    engine.put_files(container, slow)
    engine.start(container)
    return engine.exec(
        container,
        ["/usr/local/sbin/lab-init"],
        stdin=engine.save_image(tiny),
        environment={"LAB_SERVICES": "seed", "LAB_IMAGE": tiny, "LAB_SECONDS": "60"},
    )


def test_an_engine_that_does_not_start_is_tried_again(engine, name):
    done = filled(engine, name, times=1)
    assert done.exit_code == 0, done.output


def test_one_that_never_starts_is_told_with_its_last_words(engine, name):
    done = filled(engine, name, times=100)
    assert done.exit_code == 1
    assert "timeout waiting for containerd to start" in done.output
