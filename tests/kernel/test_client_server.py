"""flanneld -listen keeps the leases of machines that cannot reach etcd: flanneld -remote."""

import json
from typing import Any

import pytest

from lab import wait
from tests.kernel.harness import ETCD, PREFIX, Host, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel

PORT, HEALTH = 8888, 8889
NOWHERE = "http://192.168.50.99:2379"
SERVER = ("/usr/bin/flanneld", f"-listen=192.168.50.1:{PORT}", f"-etcd-endpoints={ETCD}")

# Does what systemd does for a socket unit (sd_listen_fds(3)).
ACTIVATE = f"""
import os, socket, sys
listening = socket.create_server(("192.168.50.1", {PORT}))
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def server(sandbox: Sandbox) -> Process:
    """On the machine of etcd."""
    sandbox.configure()
    return listen(sandbox)


def listen(sandbox: Sandbox) -> Process:
    daemon = sandbox.spawn(*SERVER)
    answers(sandbox, "config")
    return daemon


def answers(sandbox: Sandbox, path: str) -> Any:
    """What the server answers, once it does."""

    def probe() -> str | wait.NotYet:
        got = sandbox.run_python("get_url", f"http://192.168.50.1:{PORT}/v1/_/{path}", check=False)
        return got.text if got.exit_code == 0 else wait.NotYet(got.output)

    return json.loads(eventually(probe, "the server's answer"))


def client(host: Host, *options: str) -> Process:
    return host.flanneld(f"-remote=192.168.50.1:{PORT}", *options, endpoints=NOWHERE)


def test_two_clients_hold_leases_and_reach_each_other(sandbox, server):
    here, there = sandbox.host("a"), sandbox.host("b")
    for daemon in (client(here), client(there)):
        daemon.says("Subnet added: 10.2.")
    assert sandbox.leases() == {
        f"{host.subnet}.0-24": f'{{"PublicIP":"{host.address}","PublicIPv6":null}}' for host in (here, there)
    }
    here.reaches(there.bridge(), here.bridge())
    server.says("GET /v1/_/config - 200")
    server.says("POST /v1/_/leases - 200", times=2)


@pytest.mark.thorough
def test_a_client_and_a_machine_that_speaks_with_etcd_are_peers(sandbox, server):
    here, there = sandbox.host("a"), sandbox.host("b")
    client(here).says("Subnet lease acquired")
    there.flanneld().says("Subnet added: ")
    here.reaches(there.bridge(), here.bridge())


def test_a_client_whose_lease_is_deleted_takes_another_and_says_so(sandbox, server):
    host = sandbox.host("a")
    daemon = client(host)
    daemon.says("Watching for new subnet leases")
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{host.subnet}.0-24")
    daemon.says("lost: its key was deleted or has expired")
    daemon.says("Subnet lease acquired", times=2)
    assert len(sandbox.leases()) == 1


@pytest.mark.thorough
def test_a_configuration_that_is_missing_is_looked_for_at_the_server_and_not_under_a_prefix(sandbox):
    sandbox.spawn(*SERVER).says("running as server")
    daemon = client(sandbox.host("a"), "-etcd-prefix=/not/the/servers")
    url = f"http://192.168.50.1:{PORT}/v1/_/config"
    daemon.says(f"Failed to retrieve network config: the lease server has no {url} yet: write the network's")
    sandbox.configure('{"Network": "10.2.0.0/99"}')
    # The server itself refuses what it cannot read.
    daemon.says("Failed to retrieve network config: the lease server reports an error: ")
    assert "/not/the/servers" not in daemon.log
    sandbox.configure()
    daemon.says("Watching for new subnet leases")


def test_clients_outlive_their_server_and_follow_the_next_one(sandbox, server):
    here, there = sandbox.host("a"), sandbox.host("b")
    first = client(here)
    client(there).says("Subnet added: ")
    first.says("Subnet added: ")
    source, destination = here.bridge(), there.bridge()
    server.signal("TERM")
    assert server.ends(5) == 0
    here.reaches(destination, source)
    listen(sandbox)
    value = '{"PublicIP":"192.168.50.77","PublicIPv6":null}'
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.0.0-24", value)
    first.says("Subnet added: 10.2.0.0/24")


@pytest.mark.thorough
def test_an_etcd_that_dies_for_a_while_is_followed_again_by_all(sandbox, server):
    here, there = sandbox.host("a"), sandbox.host("b")
    first = client(here)
    client(there).says("Subnet added: ")
    first.says("Subnet added: ")
    source, destination = here.bridge(), there.bridge()
    sandbox.etcd.signal("KILL")
    sandbox.etcd.ends(5)
    first.says("the lease server reports an error")
    here.reaches(destination, source)
    sandbox.start_etcd()
    value = '{"PublicIP":"192.168.50.77","PublicIPv6":null}'
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.0.0-24", value)
    first.says("Subnet added: 10.2.0.0/24")


@pytest.mark.thorough
def test_a_port_that_is_taken_is_told(sandbox, server):
    second = sandbox.spawn(*SERVER)
    assert second.ends(10) == 6
    assert "another process has the port" in second.log


@pytest.mark.thorough
def test_it_is_ready_once_it_listens(sandbox):
    sandbox.start("notified", "/nonexistent", *SERVER).says("NOTIFY READY=1")


@pytest.mark.thorough
def test_systemd_may_have_opened_the_socket(sandbox):
    sandbox.configure()
    sandbox.spawn("python3", "-c", ACTIVATE, SERVER[0], "-listen=fd://", f"-etcd-endpoints={ETCD}")
    assert answers(sandbox, "config") == {
        "Network": "10.2.0.0/16",
        "SubnetMin": "10.2.1.0",
        "SubnetMax": "10.2.255.0",
        "SubnetLen": 24,
    }


@pytest.mark.thorough
def test_its_readiness_is_degraded_while_etcd_does_not_answer(sandbox):
    server = sandbox.spawn(*SERVER, "-healthz-ip=127.0.0.1", f"-healthz-port={HEALTH}")
    server.says("running as server")
    readyz(sandbox, "flanneld is ready\n")
    sandbox.etcd.signal("STOP")
    readyz(sandbox, "flanneld is ready, degraded: etcd does not answer")
    sandbox.etcd.signal("CONT")
    readyz(sandbox, "flanneld is ready\n")


def readyz(sandbox: Sandbox, words: str) -> None:
    """Wait until the server says of its readiness what begins so."""
    url = f"http://127.0.0.1:{HEALTH}/readyz"
    read = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=5).read().decode(), end='')"

    def probe() -> bool | wait.NotYet:
        seen = sandbox.run("python3", "-c", read, check=False).output
        return seen.startswith(words) or wait.NotYet(seen)

    eventually(probe, f"/readyz to say {words!r}", timeout=20)
