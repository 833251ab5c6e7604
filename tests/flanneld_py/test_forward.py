from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath.forward import (
    Drop,
    ForwardTable,
    Mandate,
    Peer,
    Reply,
    Split,
    admit,
    narrowed,
    route,
)
from flanneld_py.datapath.packet import Header, checksum

# The tutorial's two nodes, seen from minion01.
TUN = IPv4Address("10.2.35.0")
OURS = IPv4Network("10.2.35.0/24")
OVERLAY = IPv4Network("10.2.0.0/16")
MINION02 = Peer(("192.168.199.53", 8285), 1472)
TABLE = ForwardTable.of({IPv4Network("10.2.52.0/24"): MINION02}, OVERLAY)
MANDATE = Mandate(TUN, OURS, TABLE, until=100.0)
UNCHECKED = Mandate(TUN, OURS, TABLE, until=100.0, check_source=False)


def packet(
    destination: str = "10.2.52.2",
    ttl: int = 64,
    payload: bytes = b"payload!",
    first: int = 0x45,
    total: int | None = None,
    source: str = "10.2.35.2",
    fragment: int = 0x4000,
) -> bytes:
    length = 20 + len(payload) if total is None else total
    header = bytearray(
        bytes([first, 0]) + length.to_bytes(2, "big") + b"\0\1" + fragment.to_bytes(2, "big")
        + bytes([ttl, 17, 0, 0]) + IPv4Address(source).packed + IPv4Address(destination).packed
    )  # fmt: skip
    header[10:12] = checksum(header).to_bytes(2, "big")
    return bytes(header) + payload


def incoming(source: str = "10.2.52.2", destination: str = "10.2.35.2", **fields: int | bytes) -> bytes:
    return packet(destination, source=source, **fields)  # type: ignore[arg-type]


def test_a_packet_goes_to_the_node_that_holds_its_subnet() -> None:
    assert route(packet(), MANDATE) == MINION02


def test_a_packet_from_the_holder_of_its_source_to_our_subnet_is_taken() -> None:
    assert admit(incoming(), MINION02.node, MANDATE) is None


@pytest.mark.parametrize("ttl", [0, 1])
def test_a_packet_whose_ttl_reaches_zero_is_answered_as_by_any_router(ttl: int) -> None:
    for verdict in (route(packet(ttl=ttl), MANDATE), admit(incoming(ttl=ttl), MINION02.node, MANDATE)):
        assert isinstance(verdict, Reply)
        assert verdict.reason == "TTL reached zero"
        assert verdict.packet[20:22] == b"\x0b\x00"  # RFC 792


@pytest.mark.parametrize("ttl", [64, 1])
def test_an_unknown_destination_is_answered_by_the_tunnel(ttl: int) -> None:
    """As with v0.5.5, whose proxy looks for the route before it looks at the TTL."""
    action = route(packet("10.2.99.1", ttl), MANDATE)
    assert isinstance(action, Reply)
    header = Header.of(action.packet)
    assert (header.source, header.destination) == (int(TUN), int(IPv4Address("10.2.35.2")))
    assert action.packet[20:22] == b"\x03\x00"
    assert action.packet[28:] == packet("10.2.99.1", ttl)[:28]


@pytest.mark.parametrize("destination", ["224.0.0.251", "255.255.255.255", "10.2.255.255"])
def test_an_unknown_destination_of_many_hosts_is_not_answered(destination: str) -> None:
    assert route(packet(destination), MANDATE) == Drop("unknown destination")


def test_a_broadcast_within_a_peers_subnet_is_sent() -> None:
    table = ForwardTable.of({IPv4Network("10.2.255.0/24"): MINION02}, OVERLAY)
    assert route(packet("10.2.255.255"), Mandate(TUN, OURS, table, until=100.0)) == MINION02


def test_packets_with_ip_options_are_carried() -> None:
    assert route(packet(first=0x46), MANDATE) == MINION02
    assert admit(incoming(first=0x46), MINION02.node, MANDATE) is None


@pytest.mark.parametrize(
    ("malformed", "reason"),
    [
        (b"", "shorter than an IPv4 header"),
        (packet()[:19], "shorter than an IPv4 header"),
        (b"\x60" + bytes(39), "not IPv4"),
        (packet(first=0x44), "bad header length"),
        (packet(first=0x4F), "bad header length"),
        (packet(total=27), "total length differs from the packet's"),
        (packet(total=29), "total length differs from the packet's"),
        (packet()[:-1], "total length differs from the packet's"),
        (packet() + b"x", "total length differs from the packet's"),
    ],
)
@pytest.mark.parametrize("mandate", [MANDATE, UNCHECKED])
def test_a_malformed_packet_is_dropped_with_its_reason(
    malformed: bytes, reason: str, mandate: Mandate
) -> None:
    assert route(malformed, mandate) == Drop(reason)
    assert admit(malformed, MINION02.node, mandate) == Drop(reason)


@pytest.mark.parametrize(
    ("source", "node"),
    [
        ("10.2.52.2", "192.168.199.54"),  # another machine
        ("10.2.77.2", "192.168.199.53"),  # nobody's subnet
        ("10.2.35.9", "192.168.199.53"),  # ours
        ("8.8.8.8", "192.168.199.53"),  # outside of the overlay
    ],
)
def test_a_packet_of_which_the_sender_does_not_hold_the_source_is_dropped(source: str, node: str) -> None:
    assert admit(incoming(source), node, MANDATE) == Drop(
        "the sending node does not hold the source's subnet"
    )
    assert admit(incoming(source), node, UNCHECKED) is None


@pytest.mark.parametrize("destination", ["10.2.52.2", "10.2.36.1", "192.168.199.52", "240.0.0.1"])
def test_a_packet_for_anybody_else_is_dropped(destination: str) -> None:
    assert admit(incoming(destination=destination), MINION02.node, MANDATE) == Drop(
        "the destination is not in our subnet"
    )
    assert admit(incoming(destination=destination), MINION02.node, UNCHECKED) is None


@pytest.mark.parametrize("destination", ["10.2.35.255", "255.255.255.255", "224.0.0.1", "239.255.255.255"])
def test_a_packet_for_many_hosts_is_dropped(destination: str) -> None:
    """A router forwards no broadcast to a network of its own, unless told to (RFC 2644)."""
    reason = "the destination is a broadcast or multicast address"
    assert admit(incoming(destination=destination), MINION02.node, UNCHECKED) == Drop(reason)
    checked = reason if destination == "10.2.35.255" else "the destination is not in our subnet"
    assert admit(incoming(destination=destination), MINION02.node, MANDATE) == Drop(checked)


def test_a_packet_of_a_peer_to_our_flannel0_is_taken() -> None:
    assert admit(incoming("10.2.52.0", "10.2.35.0"), MINION02.node, MANDATE) is None


def test_a_packet_too_long_for_the_path_is_fragmented_where_that_is_allowed() -> None:
    long = bytes(1453)
    assert route(packet(payload=long, fragment=0), MANDATE) == Split(MINION02)
    assert route(packet(payload=bytes(1452), fragment=0), MANDATE) == MINION02
    verdict = route(packet(payload=long), MANDATE)
    assert isinstance(verdict, Reply)
    assert verdict.packet[20:22] == b"\x03\x04"  # RFC 1191: fragmentation needed and DF set
    assert verdict.packet[26:28] == (1472).to_bytes(2)


def test_a_super_packet_is_as_long_as_its_longest_segment() -> None:
    assert route(packet(payload=bytes(60000)), MANDATE, longest=1472) == MINION02
    assert isinstance(route(packet(payload=bytes(60000)), MANDATE, longest=1473), Reply)


def test_the_sender_of_a_packet_that_came_in_fragments_is_told_if_it_asks() -> None:
    told = narrowed(incoming(), 1396, MANDATE)
    assert told is not None
    header = Header.of(told)
    assert (header.source, header.destination) == (int(TUN), int(IPv4Address("10.2.52.2")))
    assert told[20:22] == b"\x03\x04"
    assert told[26:28] == (1396 - 28).to_bytes(2)
    assert narrowed(incoming(fragment=0), 1396, MANDATE) is None
    assert narrowed(incoming(), 28, MANDATE) is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_read_and_none_is_altered(kind: type) -> None:
    buffer = kind(bytearray(packet()))
    assert route(buffer, MANDATE) == MINION02
    assert admit(buffer, MINION02.node, UNCHECKED) is None
    assert buffer == packet()


@given(st.binary(max_size=80), st.integers(0, 2000))
def test_no_bytes_whatever_upset_the_decisions(data: bytes, longest: int) -> None:
    assert isinstance(route(data, MANDATE, longest), Peer | Split | Reply | Drop)
    for mandate in (MANDATE, UNCHECKED):
        verdict = admit(data, MINION02.node, mandate)
        assert verdict is None or isinstance(verdict, Reply | Drop)
        if verdict is None:
            assert isinstance(narrowed(data, longest, mandate), bytes | None)


def test_an_empty_table_knows_no_destination() -> None:
    assert ForwardTable().lookup(int(IPv4Address("10.2.52.2"))) is None


def test_the_longest_prefix_wins() -> None:
    near, far = Peer(("192.0.2.1", 8285), 1472), Peer(("192.0.2.2", 8285), 1472)
    table = ForwardTable.of({IPv4Network("10.2.0.0/17"): far, IPv4Network("10.2.52.0/24"): near})
    assert table.lookup(int(IPv4Address("10.2.52.2"))) == near
    assert table.lookup(int(IPv4Address("10.2.53.2"))) == far
    assert table.lookup(int(IPv4Address("10.2.128.1"))) is None


@given(
    st.dictionaries(
        st.builds(
            lambda a, n: IPv4Network((a << 16, n), strict=False), st.integers(0, 65535), st.integers(0, 32)
        ),
        st.builds(lambda port: Peer(("192.0.2.1", port), 1472), st.integers(1, 65535)),
        max_size=8,
    ),
    st.integers(0, 2**32 - 1),
)
def test_a_look_up_finds_what_a_search_of_all_subnets_finds(
    peers: dict[IPv4Network, Peer], destination: int
) -> None:
    matches = [subnet for subnet in peers if IPv4Address(destination) in subnet]
    best = max(matches, key=lambda subnet: subnet.prefixlen, default=None)
    assert ForwardTable.of(peers).lookup(destination) == (None if best is None else peers[best])
