"""Where packets leave the machine, as the kernel tells of its routes."""

import struct
import sys
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from flanneld_py.kernel import next_hop_messages
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.netlink import attribute
from flanneld_py.kernel.rtnetlink import AF_INET, AF_INET6
from flanneld_py.subnet import Address
from flanneld_py.underlay.interface import NextHop

pytestmark = pytest.mark.skipif(
    sys.byteorder == "big", reason="the bytes below are of a little-endian machine"
)

OIF = attribute(4, struct.pack("=I", 7))


def default(fields: str, *others: bytes) -> tuple[int, NextHop] | None:
    payload = bytes.fromhex(fields) + b"".join(others)
    return next_hop_messages.default_next_hop(AF_INET, payload, 0, len(payload))


METRIC = attribute(6, struct.pack("=I", 20))


def test_a_default_route_has_its_metric_and_where_it_leaves():
    source = attribute(7, IPv4Address("192.0.2.1").packed)
    assert default("02 00 00 00 fe 03 00 01 00000000", OIF, METRIC, source) == (
        20, NextHop(7, IPv4Address("192.0.2.1")),
    )  # fmt: skip


def test_of_several_next_hops_the_first_counts():
    hops = attribute(9, struct.pack("=HBBi", 8, 0, 0, 5) + struct.pack("=HBBi", 8, 0, 0, 8))
    assert default("02 00 00 00 fe 03 00 01 00000000", hops) == (0, NextHop(5))


@pytest.mark.parametrize(
    "fields",
    [
        "02 18 00 00 fe 03 00 01 00000000",  # to a network
        "02 00 00 00 fe 03 00 07 00000000",  # unreachable
        "02 00 00 00 0a 03 00 01 00000000",  # of another table
        "0a 00 00 00 fe 03 00 01 00000000",  # of the other family
    ],
)
def test_what_is_no_default_route_is_none(fields: str):
    assert default(fields, OIF) is None


# struct rtmsg of an answer: dst_len 32, table main, RTM_F_CLONED.
ROUTER = attribute(5, IPv4Address("192.0.2.9").packed)
VIA6 = attribute(18, struct.pack("=H", AF_INET6) + ip_address("fe80::9").packed)  # RTA_VIA, struct rtvia


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((OIF,), NextHop(7)),
        ((OIF, ROUTER), NextHop(7, gateway=IPv4Address("192.0.2.9"))),
        ((OIF, VIA6), NextHop(7, gateway=ip_address("fe80::9"))),
        (
            (attribute(9, struct.pack("=HBBi", 16, 0, 0, 5) + ROUTER),),
            NextHop(5, gateway=IPv4Address("192.0.2.9")),
        ),
    ],
    ids=["on the link", "a router", "a router of the other family", "several routers"],
)
def test_a_way_names_its_router(others: tuple[bytes, ...], expected: NextHop):
    payload = bytes.fromhex("02 20 00 00 fe 00 00 01 00020000") + b"".join(others)
    assert next_hop_messages.next_hop_to_a_host(payload, 0, len(payload)) == expected


@pytest.mark.parametrize("kind", ["02", "03", "07"], ids=["RTN_LOCAL", "RTN_BROADCAST", "RTN_UNREACHABLE"])
def test_what_is_sent_to_no_other_machine_has_no_way(kind: str):
    payload = bytes.fromhex(f"02 20 00 00 fe 00 00 {kind} 00020000") + OIF
    assert next_hop_messages.next_hop_to_a_host(payload, 0, len(payload)) is None


def ips(*texts: str) -> tuple[Address, ...]:
    return tuple(map(ip_address, texts))


def route(to: str, via: str = "", source: str = "", metric: int = 0) -> Route:
    return Route(
        ip_network(to),
        7,
        ip_address(via) if via else None,
        ip_address(source) if source else None,
        metric=metric,
    )


# `ip route` of machines with an address for administration before that by which the world is reached.
TWO = (
    route("0.0.0.0/0", via="192.0.2.254"),
    route("10.0.0.0/8", source="10.0.0.5"),
    route("192.0.2.0/24", source="192.0.2.5"),
)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (TWO, ips("192.0.2.5", "10.0.0.5")),
        (TWO[1:], ips("10.0.0.5", "192.0.2.5")),
        ((*TWO, route("0.0.0.0/0", via="10.0.0.1", metric=100)), ips("192.0.2.5", "10.0.0.5")),
        ((route("0.0.0.0/0", via="10.0.0.1", metric=100), *TWO[1:]), ips("10.0.0.5", "192.0.2.5")),
        (
            (*TWO, route("198.51.100.0/24", via="192.0.2.1", source="192.0.2.99")),
            ips("192.0.2.5", "10.0.0.5", "192.0.2.99"),
        ),
        ((*TWO, route("192.0.2.1/32", source="127.0.0.1")), ips("192.0.2.5", "10.0.0.5")),
        ((), ()),
    ],
    ids=[
        "towards the default route's router",
        "no default route",
        "two default routes",
        "another default route",
        "what a route by a router has comes last",
        "another interface's",
        "none",
    ],
)
def test_the_sources_of_an_interface_begin_with_that_towards_the_world(
    routes: tuple[Route, ...], expected: tuple[Address, ...]
):
    assert next_hop_messages.sources(routes, ips("192.0.2.99", "10.0.0.5", "192.0.2.5")) == expected
