"""What all backends share whose packets the kernel carries, shown with host-gw, which has no device."""

import dataclasses
import errno
import json
import logging
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_network

import pytest

from flanneld_py.backend.host_gw.backend import HostGwBackend
from flanneld_py.backend.host_gw.config import HostGw
from flanneld_py.backend.kind import NodeContext
from flanneld_py.backend.peer_next_hops import NextHopsTo
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel.entries import Route, SeenEntry
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, PeerRemoved, decode, encode
from flanneld_py.subnet import Address, Subnet
from flanneld_py.underlay.interface import Interface, NextHop
from tests.flanneld_py.fake_table import FakeTable
from tests.flanneld_py.made import addresses, pool4, pool6, subnet

NETWORK = NetworkConfig(pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"), None, HostGw())
DUAL = NetworkConfig(
    NETWORK.ipv4, pool6("2001:cafe:42::/48", "2001:cafe:42:1::/64", "2001:cafe:42:ffff::/64"), HostGw()
)
# An address that every machine has, so that the interface stays the one that it was.
LO = Interface(
    "lo", socket.if_nametoindex("lo"), 65536, IPv4Address("127.0.0.1"), None,
    (IPv4Interface("127.0.0.1/8"), IPv4Interface("192.168.50.11/24")),
)  # fmt: skip
OWN = subnet("10.2.1.0/24")
PROTO_BOOT, PROTO_STATIC = 3, 4  # RTPROT_BOOT, RTPROT_STATIC of linux/rtnetlink.h


def peer(network: str, address: str, kind: str = "host-gw") -> Lease:
    value = json.dumps({"PublicIP": address, "BackendType": kind})
    return Lease(subnet(network), decode(value.encode()))


def peers(*leases: Lease) -> dict[Subnet, Lease]:
    return {lease.subnet: lease for lease in leases}


A = peer("10.2.2.0/24", "192.168.50.12")
B = peer("10.2.3.0/24", "192.168.50.13")
ROUTE_A = Route(ip_network("10.2.2.0/24"), LO.index, ip_address("192.168.50.12"))
ROUTE_B = Route(ip_network("10.2.3.0/24"), LO.index, ip_address("192.168.50.13"))


def on_link(asked: Sequence[Address], /) -> dict[Address, NextHop]:
    return {address: NextHop(LO.index) for address in asked}


def backend(table: FakeTable, network: NetworkConfig = NETWORK, ways: NextHopsTo = on_link) -> HostGwBackend:
    made = HostGwBackend(network, HostGw(), NodeContext(LO, addresses("127.0.0.1")), table=table, ways=ways)
    made.claim(OWN)
    return made


@pytest.fixture
def table() -> FakeTable:
    return FakeTable()


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO)
    return caplog


def test_exactly_the_peers_routes_are_there(table):
    backend(table).carry(peers(A, B), 0)
    assert table.texts() == sorted(map(str, (ROUTE_A, ROUTE_B)))


def test_what_an_earlier_daemon_left_of_a_peer_that_is_gone_is_taken_away(log):
    table = FakeTable(SeenEntry(ROUTE_A, ours=True), SeenEntry(ROUTE_B, ours=True))
    backend(table).carry(peers(B), 0)
    assert table.texts() == [str(ROUTE_B)]
    assert f"Removed stale entries of former peers: {ROUTE_A}".replace(f"#{LO.index}", "lo") in log.text


def test_a_route_that_is_right_is_not_touched_by_a_restart():
    table = FakeTable(SeenEntry(ROUTE_A, ours=True))
    backend(table).carry(peers(A), 0)
    assert table.performed == []


def test_routes_of_others_stay():
    foreign = Route(ip_network("10.9.0.0/24"), LO.index, ip_address("192.168.50.9"), protocol=PROTO_STATIC)
    table = FakeTable(SeenEntry(foreign, ours=False))
    made = backend(table)
    made.carry(peers(A), 0)
    made.release()
    assert table.texts() == [str(foreign)]


def test_the_marked_routes_of_another_overlay_of_this_machine_stay():
    other = Route(ip_network("10.9.0.0/24"), LO.index, ip_address("192.168.50.9"))
    table = FakeTable(SeenEntry(other, ours=True))
    made = backend(table)
    made.carry(peers(A), 0)
    made.release()
    assert table.texts() == [str(other)]


def test_a_wrong_next_hop_is_replaced_with_a_warning(log):
    wrong = Route(ROUTE_A.destination, LO.index, ip_address("192.168.50.99"), protocol=PROTO_STATIC)
    table = FakeTable(SeenEntry(wrong, ours=False))
    backend(table).carry(peers(A), 0)
    assert table.texts() == [str(ROUTE_A)]
    (warning,) = [record for record in log.records if record.levelno == logging.WARNING]
    assert warning.getMessage() == (
        "Replacing existing route 10.2.2.0/24 via 192.168.50.99 dev lo "
        "with route 10.2.2.0/24 via 192.168.50.12 dev lo"
    )


def test_routes_of_another_flannel_that_are_right_are_taken_over_without_a_word(log):
    table = FakeTable(SeenEntry(dataclasses.replace(ROUTE_A, protocol=PROTO_BOOT), ours=False))
    backend(table).carry(peers(A), 0)
    assert table.entries[ROUTE_A.destination].ours
    assert not log.records


def test_of_many_wrong_next_hops_a_few_are_named_and_the_rest_counted(log):
    leases = [peer(f"10.2.{number}.0/24", "192.168.50.12") for number in range(2, 12)]
    wrong = [
        Route(lease.subnet.networks[0], LO.index, ip_address("192.168.50.99"), protocol=PROTO_STATIC)
        for lease in leases
    ]
    table = FakeTable(*(SeenEntry(route, ours=False) for route in wrong))
    backend(table).carry(peers(*leases), 0)
    assert log.text.count("Replacing existing route") == 3
    assert "... and 7 more that are replaced" in log.text


def test_a_change_costs_no_more_than_the_change(table):
    made = backend(table)
    made.carry(peers(A), 0)
    dumps = table.dumps
    made.change([PeerAdded(B)])
    assert len(table.performed[-1]) == 1
    made.change([PeerRemoved(A)])
    assert len(table.performed[-1]) == 1
    assert table.texts() == [str(ROUTE_B)]
    assert table.dumps == dumps


def test_a_subnet_that_moved_to_another_machine_is_routed_there(table):
    made = backend(table)
    made.carry(peers(A), 0)
    made.change([PeerAdded(peer("10.2.2.0/24", "192.168.50.77"))])
    assert table.texts() == [str(Route(ROUTE_A.destination, LO.index, ip_address("192.168.50.77")))]


def test_nothing_is_carried_any_more_after_a_release(table):
    made = backend(table)
    made.carry(peers(A, B), 0)
    made.release()
    assert table.texts() == []
    assert made.repair() == 0


def test_what_others_took_away_is_put_back_and_counted_and_named(table, log):
    made = backend(table)
    made.carry(peers(A, B), 0)
    assert made.repair() == 0
    table.entries.clear()
    assert made.repair() == 2
    assert table.texts() == sorted(map(str, (ROUTE_A, ROUTE_B)))
    assert made.statistics().repairs == 2
    assert "Repaired: route 10.2.2.0/24 via 192.168.50.12 dev lo, route 10.2.3.0/24" in log.text


def test_of_many_repairs_a_few_are_named_and_the_rest_counted(table, log):
    made = backend(table)
    made.carry(peers(*(peer(f"10.2.{number}.0/24", "192.168.50.12") for number in range(2, 12))), 0)
    table.entries.clear()
    assert made.repair() == 10
    (line,) = [record.getMessage() for record in log.records if "Repaired" in record.getMessage()]
    assert line.endswith(" and 7 more")
    assert line.count("route") == 3


def test_a_route_that_the_kernel_refuses_is_told_once_and_tried_at_every_repair(table, log):
    table.refusals[ROUTE_A] = errno.EPERM
    made = backend(table)
    made.carry(peers(A, B), 0)
    assert table.texts() == [str(ROUTE_B)]
    assert made.repair() == 0
    assert made.repair() == 0
    assert log.text.count("Operation not permitted") == 1
    table.refusals.clear()
    assert made.repair() == 0, "nobody had changed anything"
    assert table.texts() == sorted(map(str, (ROUTE_A, ROUTE_B)))
    assert "Now it has worked: route 10.2.2.0/24" in log.text


def test_a_peer_off_the_link_is_an_error_that_says_so_once(table, log):
    far = peer("10.2.4.0/24", "192.0.2.4")
    table.refusals[Route(ip_network("10.2.4.0/24"), LO.index, ip_address("192.0.2.4"))] = errno.ENETUNREACH
    made = backend(
        table, ways=lambda asked: {at: NextHop(LO.index) for at in asked if str(at) != "192.0.2.4"}
    )
    made.carry(peers(A, far), 0)
    made.repair()
    (error,) = [record.getMessage() for record in log.records if record.levelno == logging.ERROR]
    assert "route 10.2.4.0/24 via 192.0.2.4 dev lo" in error
    assert "Network is unreachable: 192.0.2.4 is not on the link of lo (this machine has no route" in error
    assert table.texts() == [str(ROUTE_A)]


def test_a_peer_that_a_router_comes_to_be_before_is_warned_of_and_one_that_was_refused_is_told_once(
    table, log
):
    router = ip_address("192.168.50.1")
    known = {ip_address("192.168.50.12"): NextHop(LO.index)}
    made = backend(table, ways=lambda _: known)
    made.carry(peers(A), 0)
    assert made.repair() == 0
    assert not log.records
    known[ip_address("192.168.50.12")] = NextHop(LO.index, gateway=router)
    table.refusals[ROUTE_A] = errno.ENETUNREACH
    table.entries.clear()
    made.repair()
    warning, error = [record.getMessage() for record in log.records if record.levelno >= logging.WARNING]
    assert "192.168.50.12 is not on the link of lo (its router is 192.168.50.1)" in warning
    assert error.endswith("Network is unreachable")


def test_a_foreign_backend_type_is_told_once(table, log):
    made = backend(table)
    strangers = [peer(f"10.2.{number}.0/24", "192.168.50.9", "vxlan") for number in (5, 6)]
    made.carry(peers(*strangers), 0)
    made.change([PeerAdded(strangers[0]), PeerRemoved(strangers[0])])
    assert log.text.count("Ignoring non-host-gw subnet: type=vxlan") == 1
    assert table.texts() == []


def test_a_kernel_that_cannot_be_asked_is_told_and_asked_again(table, log, monkeypatch):
    made = backend(table)

    def fail(*_: object, **__: object) -> list[SeenEntry]:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    with monkeypatch.context() as patched:
        patched.setattr(table, "seen", fail)
        made.carry(peers(A), 0)
    assert "Listing the kernel's routes and neighbours: [Errno" in log.text
    made.repair()
    assert table.texts() == [str(ROUTE_A)]


# host-gw itself


def test_a_host_gw_lease_is_written_as_flannel_writes_it(table):
    # flannel 0.20.2's value.
    assert (
        encode(backend(table).attrs())
        == b'{"PublicIP":"127.0.0.1","PublicIPv6":null,"BackendType":"host-gw"}'
    )


def test_pods_have_the_mtu_of_the_link(table):
    assert backend(table).mtu == LO.mtu


def test_behind_nat_host_gw_is_refused_with_flannels_reason():
    with pytest.raises(
        Fatal, match="your PublicIP differs from interface IP, meaning that probably you're on a NAT"
    ) as caught:
        HostGwBackend(NETWORK, HostGw(), NodeContext(LO, addresses("203.0.113.5")), table=FakeTable())
    assert caught.value.code == Exit.INTERFACE
    assert "203.0.113.5 is not 127.0.0.1 of lo" in str(caught.value)


def test_an_overlay_of_a_family_that_the_interface_lacks_is_refused():
    with pytest.raises(Fatal, match="The overlay uses IPv6, but lo has no IPv6 address"):
        HostGwBackend(DUAL, HostGw(), NodeContext(LO, addresses("127.0.0.1")), table=FakeTable())


def test_on_another_interface_routes_are_by_that_one_and_the_lease_names_its_address(table):
    made = backend(table)
    made.claim(OWN)
    peer = Lease(subnet("10.2.52.0/24"), LeaseAttrs(addresses("192.0.2.9"), "host-gw"))
    made.carry({peer.subnet: peer}, 0.0)
    new = dataclasses.replace(LO, name="lan0", index=9, mtu=1400, ipv4=IPv4Address("127.0.0.2"))
    made.follow(new, addresses("127.0.0.2"))
    made.claim(OWN)
    made.carry({peer.subnet: peer}, 0.0)
    assert table.texts() == ["route 10.2.52.0/24 via 192.0.2.9 dev #9"]
    assert made.attrs().public == addresses("127.0.0.2")
    assert made.mtu == 1400


def test_behind_nat_it_follows_to_no_address_that_is_not_the_interfaces(table):
    made = backend(table)
    with pytest.raises(Fatal, match="your PublicIP differs from interface IP"):
        made.follow(dataclasses.replace(LO, ipv4=IPv4Address("127.0.0.2")), addresses("127.0.0.1"))
    assert made.attrs().public == addresses("127.0.0.1")


def test_routes_that_cannot_be_listed_are_not_released(table):
    made = backend(table)
    made.carry(peers(A, B), 0)
    table.deaf = errno.EMFILE
    with pytest.raises(OSError, match="Too many open files"):
        made.release()
    assert table.texts() == sorted(map(str, (ROUTE_A, ROUTE_B)))
    table.deaf = 0
    made.release()
    assert table.texts() == []


def test_a_route_that_the_kernel_keeps_is_not_released_and_the_others_are(table):
    made = backend(table)
    made.carry(peers(A, B), 0)
    table.kept[ROUTE_A] = errno.EPERM
    with pytest.raises(OSError, match=r"Deleting route 10\.2\.2\.0/24 .*: Operation not permitted"):
        made.release()
    assert table.texts() == [str(ROUTE_A)]
    table.kept.clear()
    made.release()
    assert table.texts() == []
