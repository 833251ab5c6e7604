from collections.abc import Iterator

import pytest

from lab.engine import Engine
from tests.kernel.container import open_container
from tests.kernel.harness import Host, Sandbox


@pytest.fixture(scope="session")
def container(engine: Engine) -> Iterator[Sandbox]:
    """One container for all kernel tests of a worker."""
    with open_container(engine) as sandbox:
        yield sandbox


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
