import os
import secrets
from collections.abc import Iterator

import pytest

from lab import images, lock
from lab.cluster import NAME
from lab.engine import Engine
from lab.payload import daemon_files
from lab.progress import Silent
from tests.kernel.harness import Agent, Host, Sandbox

# There is no registry to get Ryuk from everywhere; `lab gc` removes by label what a killed run left.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"


@pytest.fixture(scope="session")
def container(engine: Engine) -> Iterator[Sandbox]:
    """One container for all kernel tests of a worker: today's daemon, and no network at all."""
    from testcontainers.core.container import DockerContainer

    name = f"test-{secrets.token_hex(4)}"
    node = (
        DockerContainer(images.ensure(engine, Silent()).node)
        .with_command("sleep infinity")
        .with_name(f"lab-{name}")
        .with_tmpfs_mount("/run")
        .with_kwargs(
            network_mode="none",
            cap_add=["SYS_ADMIN", "NET_ADMIN"],
            devices=["/dev/net/tun"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            init=True,
            labels={NAME: name},
        )
    )
    with lock.held(engine.id, name), node:
        identifier = str(node.get_wrapped_container().id)
        agent = Agent(engine, identifier)
        sandbox = Sandbox(engine, identifier, agent)
        sandbox.put(daemon_files())
        sandbox.run("umount", "/proc/sys")  # Docker mounts it read-only; hosts forward packets
        yield sandbox
        agent.close()


@pytest.fixture
def sandbox(container: Sandbox) -> Iterator[Sandbox]:
    """The container with an empty etcd, and nothing of another test."""
    try:
        container.begin()
        yield container
    finally:
        container.end()


@pytest.fixture
def pair(sandbox: Sandbox) -> tuple[Host, Host]:
    """Two machines whose daemons hold leases and know each other."""
    sandbox.configure()
    hosts = sandbox.host("a"), sandbox.host("b")
    for daemon in [host.flanneld() for host in hosts]:
        daemon.says("Subnet added: 10.2.")
    return hosts
