"""Several networks of one machine, -networks (flannel v0.5.5's multi-network mode)."""

import json

import pytest

from tests.kernel.harness import PREFIX, Host, Process, Sandbox

pytestmark = pytest.mark.kernel

NAMES = ("blue", "green")


def configure(sandbox: Sandbox) -> None:
    """Two networks that need devices and ports of their own."""
    for number, name in enumerate(NAMES):
        backend = {"Type": "udp", "Port": 8285 + number}
        config = {"Network": f"10.{2 + number}.0.0/16", "Backend": backend}
        sandbox.etcdctl("put", f"{PREFIX}/{name}/config", json.dumps(config))


def start(host: Host, notified: bool = False) -> None:
    folder = f"/run/flannel-{host.name}/networks"
    daemon = host.flanneld("-networks=blue,green", f"-subnet-dir={folder}", notified=notified)
    daemon.says("Subnet lease acquired: 10.2.")
    daemon.says("Subnet lease acquired: 10.3.")
    daemon.says("Watching for new subnet leases", times=2)


def subnet(host: Host, name: str) -> str:
    """The first three numbers of the subnet in the network's file."""
    text = host.sandbox.run("cat", f"/run/flannel-{host.name}/networks/{name}.env").text
    return text.partition("FLANNEL_SUBNET=")[2].partition("/")[0].rpartition(".")[0]


def test_each_network_has_its_own_lease_file_and_device(sandbox):
    configure(sandbox)
    host = sandbox.host("a")
    start(host)
    for name in NAMES:
        keys = sandbox.etcdctl("get", "--prefix", "--keys-only", f"{PREFIX}/{name}/subnets/").split()
        assert keys == [f"{PREFIX}/{name}/subnets/{subnet(host, name)}.0-24"]
    assert {"flannel0", "flannel1"} <= set(host.links())


def test_packets_of_each_network_reach_the_other_machine(sandbox):
    configure(sandbox)
    hosts = sandbox.host("a"), sandbox.host("b")
    for host in hosts:
        start(host)
    here, there = hosts
    for name in NAMES:
        for host in hosts:
            host.run("ip", "address", "add", f"{subnet(host, name)}.1/32", "dev", "lo")
        assert "ttl=62" in here.reaches(f"{subnet(there, name)}.1", f"{subnet(here, name)}.1")


def test_a_network_without_a_usable_configuration_waits_alone(sandbox):
    configure(sandbox)
    right = sandbox.etcdctl("get", "--print-value-only", f"{PREFIX}/green/config")
    sandbox.etcdctl("put", f"{PREFIX}/green/config", '{"Network": "10.3.0.0/99"}')
    host = sandbox.host("a")
    daemon = host.flanneld("-networks=blue,green", f"-subnet-dir=/run/flannel-{host.name}/networks")
    daemon.says(f"Bad network config in {PREFIX}/green/config: Network is")
    daemon.says("Watching for new subnet leases")
    assert subnet(host, "blue")
    sandbox.etcdctl("put", f"{PREFIX}/green/config", right)
    daemon.says("Watching for new subnet leases", times=2)
    assert subnet(host, "green")


@pytest.mark.parametrize(
    ("backend", "what"), [({"Type": "udp"}, "UDP port 8285"), ({"Type": "vxlan"}, "The device flannel.1")]
)
def test_a_network_that_wants_what_another_has_waits_alone_and_it_is_told_which_one_has_it(
    sandbox, backend, what
):
    daemon = both_with(sandbox, backend)
    reason = f"{what} carries the network {{}} of this flanneld already: give"
    # Whichever came first.
    told = [f"{PREFIX}/{name}/config: {reason.format(other)}" for name, other in (NAMES, NAMES[::-1])]
    daemon.says("this flanneld already")
    assert any(words in daemon.log for words in told)
    daemon.says("Watching for new subnet leases")
    assert "second flanneld" not in daemon.log


def both_with(sandbox: Sandbox, backend: dict[str, str]) -> Process:
    """A machine's flanneld with two networks of this backend, each with the backend's default settings."""
    for number, name in enumerate(NAMES):
        config = {"Network": f"10.{2 + number}.0.0/16", "Backend": backend}
        sandbox.etcdctl("put", f"{PREFIX}/{name}/config", json.dumps(config))
    host = sandbox.host("a")
    return host.flanneld("-networks=blue,green", f"-subnet-dir=/run/flannel-{host.name}/networks")


def test_it_is_ready_once_all_are(sandbox):
    configure(sandbox)
    sandbox.etcdctl("del", f"{PREFIX}/green/config")
    host = sandbox.host("a")
    folder = f"/run/flannel-{host.name}/networks"
    daemon = host.flanneld("-networks=blue,green", f"-subnet-dir={folder}", notified=True)
    daemon.says("Subnet lease acquired: 10.2.")
    daemon.says("Failed to retrieve network config")
    assert "NOTIFY" not in daemon.log
    sandbox.etcdctl(
        "put", f"{PREFIX}/green/config", '{"Network": "10.3.0.0/16", "Backend": {"Type": "alloc"}}'
    )
    daemon.says("NOTIFY READY=1")
