"""A wire that loses, delays, reorders, doubles or corrupts frames: logins succeed within a bound."""

import json
from collections.abc import Iterator, Mapping

import pytest

from tests.kernel.faults import Node, configure, ready, start
from tests.kernel.harness import Host, Process, Sandbox

pytestmark = pytest.mark.kernel


@pytest.fixture
def hosts(sandbox: Sandbox) -> Iterator[tuple[Host, Host]]:
    """Two machines; what the second sends and receives passes between to-b and wire1."""
    made = sandbox.host("a"), sandbox.host("b")
    script = """
        ip link set to-b nomaster
        ip link add name wire0 type veth peer name wire1
        ip link set wire0 master br0 up
        ip link set wire1 up
    """
    sandbox.run("sh", "-ec", script)
    sandbox.run_python("whole_checksums", "br0")
    for host in made:
        host.run_python("whole_checksums", "eth0")
    yield made
    sandbox.run("ip", "link", "delete", "wire0")


def plug(sandbox: Sandbox, harm: Mapping[str, float]) -> Process:
    wire = sandbox.start("bad_wire", "to-b", "wire1", json.dumps(harm))
    wire.says("plugged in")
    return wire


@pytest.mark.parametrize(
    ("kind", "harm", "shown"),
    [
        ("udp", {"loss": 0.05}, "lost"),
        ("vxlan", {"delay": 0.05}, "frames"),  # 100 ms there and back
        ("udp", {"delay": 0.002, "jitter": 0.02}, "frames"),
        ("host-gw", {"duplicate": 0.2}, "doubled"),
        ("udp", {"corrupt": 0.03}, "corrupted"),
        ("vxlan", {"corrupt": 0.03}, "corrupted"),
    ],
    ids=["loss", "delay", "reorder", "duplicate", "corrupt-udp", "corrupt-vxlan"],
)
def test_logins_succeed_over_a_bad_wire(sandbox, hosts, kind, harm, shown):
    configure(sandbox, kind)
    wire = plug(sandbox, harm)
    made = [Node(host, start(host)) for host in hosts]
    for node in made:
        node.daemon.says("Subnet added: ", timeout=30)
        node.pod = node.host.pod()
        mtu = node.host.subnet_env.partition("FLANNEL_MTU=")[2].split()[0]
        node.inside.run("ip", "link", "set", "eth0", "mtu", mtu)
    client, server = (node.inside for node in made)
    server.start("serve_logins", server.address).says("listening")
    logins = client.start("log_in", server.address)
    assert logins.ends(40) == 0, logins.log
    wire.says(f"'{shown}'")
    # Whatever befell the daemons' own connections to etcd, it is over, and no lease went with it.
    ready(*made, timeout=20)
    assert not [node for node in made if "lost: " in node.daemon.log]
