from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath.forward import Deliver, Drop, ForwardTable, NextHop, Reply, Send, inbound, outbound
from flanneld_py.datapath.packet import Header, checksum

# The tutorial's two nodes, seen from minion01.
TUN = IPv4Address("10.2.35.0")
MINION02 = ("192.168.199.53", 8285)
TABLE = ForwardTable.of({IPv4Network("10.2.52.0/24"): MINION02}, IPv4Network("10.2.0.0/16"))


def packet(
    destination: str = "10.2.52.2",
    ttl: int = 64,
    payload: bytes = b"payload!",
    first: int = 0x45,
    total: int | None = None,
) -> bytes:
    length = 20 + len(payload) if total is None else total
    header = bytearray(
        bytes([first, 0]) + length.to_bytes(2, "big") + bytes([0, 1, 0x40, 0, ttl, 17, 0, 0])
        + IPv4Address("10.2.35.2").packed + IPv4Address(destination).packed
    )  # fmt: skip
    header[10:12] = checksum(header).to_bytes(2, "big")
    return bytes(header) + payload


def test_a_packet_goes_to_the_node_that_holds_its_subnet_with_a_lower_ttl() -> None:
    assert outbound(packet(ttl=64), TABLE, TUN) == Send(bytearray(packet(ttl=63)), MINION02)


def test_a_packet_is_delivered_with_a_lower_ttl() -> None:
    assert inbound(packet(ttl=63)) == Deliver(bytearray(packet(ttl=62)))


def test_a_packet_loses_two_of_its_ttl_on_its_way() -> None:
    sent = outbound(packet(ttl=64), TABLE, TUN)
    assert isinstance(sent, Send)
    delivered = inbound(sent.packet)
    assert isinstance(delivered, Deliver)
    assert delivered.packet == packet(ttl=62)


@pytest.mark.parametrize("ttl", [0, 1])
def test_a_packet_whose_ttl_reaches_zero_is_dropped(ttl: int) -> None:
    assert outbound(packet(ttl=ttl), TABLE, TUN) == Drop("TTL reached zero")
    assert inbound(packet(ttl=ttl)) == Drop("TTL reached zero")


@pytest.mark.parametrize("ttl", [64, 1])
def test_an_unknown_destination_is_answered_by_the_tunnel(ttl: int) -> None:
    """As with v0.5.5, whose proxy looks for the route before it looks at the TTL."""
    action = outbound(packet("10.2.99.1", ttl), TABLE, TUN)
    assert isinstance(action, Reply)
    header = Header.of(action.packet)
    assert (header.source, header.destination) == (int(TUN), int(IPv4Address("10.2.35.2")))
    assert action.packet[20:22] == b"\x03\x00"
    assert action.packet[28:] == packet("10.2.99.1", ttl)[:28]


@pytest.mark.parametrize("destination", ["224.0.0.251", "255.255.255.255", "10.2.255.255"])
def test_an_unknown_destination_of_many_hosts_is_not_answered(destination: str) -> None:
    assert isinstance(outbound(packet(destination), TABLE, TUN), Drop)


def test_a_broadcast_within_a_peers_subnet_is_sent() -> None:
    table = ForwardTable.of({IPv4Network("10.2.255.0/24"): MINION02}, IPv4Network("10.2.0.0/16"))
    assert isinstance(outbound(packet("10.2.255.255"), table, TUN), Send)


def test_packets_with_ip_options_are_carried() -> None:
    assert isinstance(outbound(packet(first=0x46), TABLE, TUN), Send)
    assert isinstance(inbound(packet(first=0x46)), Deliver)


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
def test_a_malformed_packet_is_dropped_with_its_reason(malformed: bytes, reason: str) -> None:
    assert outbound(malformed, TABLE, TUN) == Drop(reason)
    assert inbound(malformed) == Drop(reason)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_read_and_none_is_altered(kind: type) -> None:
    original = packet()
    buffer = kind(bytearray(original))
    assert outbound(buffer, TABLE, TUN) == Send(bytearray(packet(ttl=63)), MINION02)
    assert inbound(buffer) == Deliver(bytearray(packet(ttl=63)))
    assert buffer == original


@given(st.binary(max_size=80))
def test_no_bytes_whatever_upset_the_forwarding(data: bytes) -> None:
    assert isinstance(outbound(data, TABLE, TUN), Send | Reply | Drop)
    assert isinstance(inbound(data), Deliver | Drop)


def test_an_empty_table_knows_no_destination() -> None:
    assert ForwardTable().lookup(int(IPv4Address("10.2.52.2"))) is None


def test_the_longest_prefix_wins() -> None:
    near, far = ("192.0.2.1", 8285), ("192.0.2.2", 8285)
    table = ForwardTable.of({IPv4Network("10.2.0.0/17"): far, IPv4Network("10.2.52.0/24"): near})
    assert table.lookup(int(IPv4Address("10.2.52.2"))) == near
    assert table.lookup(int(IPv4Address("10.2.53.2"))) == far
    assert table.lookup(int(IPv4Address("10.2.128.1"))) is None


@given(
    st.dictionaries(
        st.builds(
            lambda a, n: IPv4Network((a << 16, n), strict=False), st.integers(0, 65535), st.integers(0, 32)
        ),
        st.builds(lambda port: ("192.0.2.1", port), st.integers(1, 65535)),
        max_size=8,
    ),
    st.integers(0, 2**32 - 1),
)
def test_a_look_up_finds_what_a_search_of_all_subnets_finds(
    next_hops: dict[IPv4Network, NextHop], destination: int
) -> None:
    matches = [subnet for subnet in next_hops if IPv4Address(destination) in subnet]
    best = max(matches, key=lambda subnet: subnet.prefixlen, default=None)
    assert ForwardTable.of(next_hops).lookup(destination) == (None if best is None else next_hops[best])
