"""What is ours on a machine, harmed by another hand while the daemon runs: it is put right."""

import json

import pytest

from lab import wait
from tests.kernel.faults import UDP_WAYS, Node, configure, nodes, reach, ready
from tests.kernel.harness import Host, Sandbox, eventually

pytestmark = pytest.mark.kernel

SOON = 6
"""Seconds that a repair may take on a busy machine; less than the ten after which everything is looked at."""

AT_LAST = 15
"""The same where harm follows harm: events are collected for longer each time, for up to ten seconds."""

DEVICES = {"udp": "flannel0", "vxlan": "flannel.1", "wireguard": "flannel-wg", "ipip": "flannel.ipip"}


def pair(sandbox: Sandbox, kind: str, *options: str) -> tuple[Node, Node]:
    """Two machines with pods that reach each other. `kind` is a backend, or a way of udp."""
    backend = "udp" if kind in UDP_WAYS else kind
    configure(sandbox, backend)
    here, there = nodes(sandbox, 2, *UDP_WAYS.get(kind, ()), *options)
    reach(here, there)
    return here, there


def device_of(kind: str) -> str:
    return DEVICES["udp" if kind in UDP_WAYS else kind]


def state(host: Host, device: str) -> dict[str, object]:
    """What a device of ours is to have: as `ip` shows it."""
    link = host.link(device)
    if link is None:
        return {}
    routes = json.loads(host.run("ip", "-json", "route", "show", "dev", device).text)
    return {
        "up": "UP" in link["flags"],
        "mtu": link["mtu"],
        "queue": link["txqlen"],
        "addresses": sorted(item["local"] for item in link["addr_info"] if item["family"] == "inet"),
        "routes": sorted(json.dumps(route, sort_keys=True) for route in routes),
    }


def is_again(host: Host, device: str, wanted: dict[str, object], timeout: float = AT_LAST) -> None:
    def probe() -> bool | wait.NotYet:
        found = state(host, device)
        return found == wanted or wait.NotYet(f"{found}, not {wanted}")

    eventually(probe, f"{device} to be as it was", timeout)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [*UDP_WAYS, "vxlan", "wireguard", "ipip"])
def test_whatever_is_done_to_the_device_is_put_right_and_packets_cross(sandbox, kind):
    here, there = pair(sandbox, kind)
    device, host = device_of(kind), here.host
    wanted = state(host, device)
    for harm in (
        f"ip link set {device} down",
        f"ip address flush dev {device}",
        f"ip link set {device} mtu 1280",
        f"ip route flush dev {device}",
        f"ip link set {device} down && ip address flush dev {device}",
    ):
        host.run("sh", "-ec", harm)
        is_again(host, device, wanted)
    if kind in UDP_WAYS:
        host.run("ip", "link", "set", device, "txqueuelen", "1")
        is_again(host, device, wanted)
        # A route of somebody else's in the place of ours is another harm than none.
        host.run("ip", "route", "replace", "10.2.0.0/16", "dev", "eth0")
        is_again(host, device, wanted)
    reach(here, there)
    ready(here, there)


@pytest.mark.parametrize("kind", ["plain", "fast path"])
def test_a_tunnel_that_is_deleted_is_made_anew_and_packets_cross(sandbox, kind):
    here, there = pair(sandbox, kind)
    here.host.run("ip", "link", "delete", "flannel0")
    here.daemon.says("recreating it")
    reach(here, there)
    ready(here, there)


def test_a_route_to_a_peer_that_is_deleted_comes_back_by_the_event_alone(sandbox):
    here, there = pair(sandbox, "host-gw")
    wanted = here.host.run("ip", "route").text
    for harm in ("delete", "replace unreachable"):
        here.host.run("sh", "-ec", f"ip route {harm} {there.host.subnet}.0/24")

        def probe() -> bool | wait.NotYet:
            found = here.host.run("ip", "route").text
            return found == wanted or wait.NotYet(found)

        eventually(probe, "the route to the peer", SOON)
    reach(here, there)


# The fast path


def attached(node: Node) -> bool:
    return 'fast_path="on"' in node.get("/metrics")


def test_an_inlet_that_is_deleted_or_set_down_is_there_again(sandbox):
    here, there = pair(sandbox, "fast path")
    here.host.run("ip", "link", "set", "flannel0-in", "down")
    eventually(lambda: _is_up(here.host, "flannel0-in"), "flannel0-in to be up", SOON)
    here.host.run("ip", "link", "delete", "flannel0-in")
    here.daemon.says("The device flannel0-in is gone: recreating it")
    eventually(lambda: _is_up(here.host, "flannel0-in"), "flannel0-in to be there", SOON)
    assert attached(here)
    reach(here, there)


def _is_up(host: Host, device: str) -> bool | wait.NotYet:
    link = host.link(device)
    return (link is not None and "UP" in link["flags"]) or wait.NotYet(link)


def test_a_program_that_is_detached_is_attached_again(sandbox):
    here, there = pair(sandbox, "fast path")
    (eth0,) = json.loads(here.host.run("ip", "-json", "link", "show", "eth0").text)
    here.host.run_python("detach_program", str(here.daemon.pid), str(eth0["ifindex"]))
    here.daemon.says("The BPF program tcx/ingress is no longer attached to eth0: recreating it")
    here.daemon.says("Packets are carried by the fast path between flannel0 and eth0", times=2)
    reach(here, there)
    ready(here, there)
    # What was counted before is counted still.
    sent = [line for line in here.get("/metrics").splitlines() if 'direction="sent"' in line]
    assert any(float(line.rpartition(" ")[2]) > 0 for line in sent)


# The file, and what is others'


@pytest.mark.thorough
def test_a_blackhole_route_that_is_deleted_comes_back(sandbox):
    configure(sandbox, "vxlan")
    (node,) = nodes(sandbox, 1, "-ip-blackhole-route", pods=False)
    ready(node)
    show = ("ip", "route", "show", "type", "blackhole")
    wanted = node.host.run(*show).text
    assert f"{node.host.subnet}.0/24" in wanted
    node.host.run("ip", "route", "delete", "blackhole", f"{node.host.subnet}.0/24")

    def probe() -> bool | wait.NotYet:
        found = node.host.run(*show).text
        return found == wanted or wait.NotYet(found)

    eventually(probe, "the blackhole route", 15)


@pytest.mark.thorough
def test_a_subnet_file_that_is_deleted_or_changed_is_written_again(sandbox):
    configure(sandbox, "vxlan")
    (node,) = nodes(sandbox, 1, pods=False, altered={"looks": 1})
    host = node.host
    wanted = host.subnet_env
    for harm in ("rm", "rm -r $(dirname $0); echo", "echo FLANNEL_MTU=1 >"):
        sandbox.run("sh", "-ec", f"{harm} $0", host.subnet_file)

        def probe() -> bool | wait.NotYet:
            found = sandbox.run("cat", host.subnet_file, check=False).text
            return found == wanted or wait.NotYet(found)

        eventually(probe, "subnet.env to be as it was", 20)
    ready(node)


@pytest.mark.thorough
def test_addresses_that_others_gave_the_device_stay_also_over_a_restart(sandbox):
    here, there = pair(sandbox, "vxlan")
    host = here.host
    for address in ("192.0.2.1/32", f"{host.subnet}.77/32"):
        host.run("ip", "address", "add", address, "dev", "flannel.1")
    wanted = state(host, "flannel.1")["addresses"]
    assert wanted == sorted(["192.0.2.1", f"{host.subnet}.0", f"{host.subnet}.77"])
    here.restart("TERM")
    here.daemon.says("Watching for new subnet leases")
    ready(here)
    assert state(host, "flannel.1")["addresses"] == wanted
    host.run("ip", "address", "delete", f"{host.subnet}.0/32", "dev", "flannel.1")
    eventually(
        lambda: state(host, "flannel.1")["addresses"] == wanted or wait.NotYet(state(host, "flannel.1")),
        "the address of the lease",
        SOON,
    )
    reach(here, there)


@pytest.mark.thorough
def test_where_addresses_may_be_bound_that_the_machine_lacks_a_lost_one_is_seen_all_the_same(sandbox):
    """keepalived's net.ipv4.ip_nonlocal_bind."""
    here, _ = pair(sandbox, "vxlan")
    here.host.run("sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1")
    wanted = state(here.host, "flannel.1")
    here.host.run("ip", "address", "flush", "dev", "flannel.1")
    is_again(here.host, "flannel.1", wanted, SOON)
