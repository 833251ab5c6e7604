from collections.abc import Iterator

import pytest

from lab.engine import Engine
from tests.kernel.container import open_container
from tests.kernel.harness import Host, Sandbox
from tests.kernel.impairments import needs_way


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


# The kernel's own way is not in every kernel.
@pytest.fixture(params=["line", pytest.param("netem", marks=pytest.mark.thorough)])
def way(request: pytest.FixtureRequest, sandbox: Sandbox) -> str:
    """What is to impair packets, other than by a rate or a cut: each that this kernel can do."""
    needs_way(sandbox, request.param)
    return str(request.param)
