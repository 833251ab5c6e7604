from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath.packet import (
    Header,
    checksum,
    decrement_ttl,
    net_unreachable,
    patch_checksum_for_ttl,
)

TUN = IPv4Address("10.2.35.0")
POD = "10.2.35.2"
NOWHERE = "10.2.99.9"


def ipv4(
    payload: bytes = b"0123456789",
    source: str = POD,
    destination: str = NOWHERE,
    ttl: int = 64,
    protocol: int = 17,
    fragment: int = 0,
    options: bytes = b"",
) -> bytes:
    """A packet written out by hand, with a checksum summed up by hand."""
    header = bytearray(
        bytes([0x40 + 5 + len(options) // 4, 0])
        + (20 + len(options) + len(payload)).to_bytes(2, "big")
        + b"\x12\x34"
        + fragment.to_bytes(2, "big")
        + bytes([ttl, protocol, 0, 0])
        + IPv4Address(source).packed
        + IPv4Address(destination).packed
        + options
    )
    header[10:12] = by_hand(bytes(header)).to_bytes(2, "big")
    return bytes(header) + payload


def by_hand(data: bytes) -> int:
    """RFC 1071, section 1, word by word."""
    total = 0
    for i in range(0, len(data), 2):
        total += (data[i] << 8) + (data[i + 1] if i + 1 < len(data) else 0)
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def test_the_checksum_of_rfc_1071s_example() -> None:
    """Section 3: the sum of 0001 f203 f4f5 f6f7 is ddf2."""
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


def test_the_checksum_of_a_well_known_header() -> None:
    assert checksum(bytes.fromhex("45000073000040004011" + "0000" + "c0a80001c0a800c7")) == 0xB861


@given(st.binary(max_size=3000))
def test_the_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    assert checksum(data) == checksum(memoryview(data)) == by_hand(data)


def test_the_patch_of_rfc_1624s_corner_case() -> None:
    """Equation 3 gives 0000 where the older equation 2 of RFC 1141 gave ffff."""
    assert patch_checksum_for_ttl(0xFEFF) == 0x0000


@given(
    st.integers(1, 255),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from([b"", b"\x01" * 4, b"\x94\x04\x00\x00" * 10]),
    st.binary(max_size=64),
)
def test_the_patched_checksum_equals_the_recomputed(
    ttl: int, protocol: int, source: int, destination: int, options: bytes, payload: bytes
) -> None:
    addresses = (str(IPv4Address(source)), str(IPv4Address(destination)))
    packet = ipv4(payload, *addresses, ttl=ttl, protocol=protocol, options=options)
    assert decrement_ttl(packet) == ipv4(payload, *addresses, ttl=ttl - 1, protocol=protocol, options=options)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_input_stays_as_it_is(kind: type) -> None:
    original = ipv4()
    packet = kind(bytearray(original))
    decrement_ttl(packet)
    net_unreachable(packet, TUN)
    assert packet == original


def test_a_header_is_read_field_by_field() -> None:
    assert Header.of(ipv4(b"x" * 8, ttl=7, protocol=6, fragment=0x2003, options=bytes(4))) == Header(
        version=4,
        header_length=24,
        total_length=32,
        fragment_offset=3,
        ttl=7,
        protocol=6,
        checksum=int.from_bytes(
            ipv4(b"x" * 8, ttl=7, protocol=6, fragment=0x2003, options=bytes(4))[10:12], "big"
        ),
        source=int(IPv4Address(POD)),
        destination=int(IPv4Address(NOWHERE)),
    )


@pytest.mark.parametrize(
    "packet",
    [
        ipv4(),
        ipv4(b"x" * 1452),
        ipv4(b"abc"),
        ipv4(b""),
        ipv4(b"y" * 30, options=b"\x01" * 40),
        ipv4(fragment=0x2000),
        ipv4(fragment=0x4000),
        ipv4(b"\x08\x00" + bytes(20), protocol=1),
    ],
)
def test_net_unreachable_is_the_proxys_of_v055(packet: bytes) -> None:
    """proxy.c: type 3 code 0, TTL 8, from the tun address, quoting the header and 8 bytes (RFC 792)."""
    answer = net_unreachable(packet, TUN)
    assert answer is not None
    header = Header.of(answer)
    quoted = (packet[0] & 15) * 4 + 8
    assert header == Header(
        version=4,
        header_length=20,
        total_length=len(answer),
        fragment_offset=0,
        ttl=8,
        protocol=1,
        checksum=header.checksum,
        source=int(TUN),
        destination=int(IPv4Address(POD)),
    )
    assert answer[20:22] == b"\x03\x00"
    assert answer[24:28] == bytes(4)
    assert answer[28:] == packet[:quoted]
    assert by_hand(answer[:20]) == by_hand(answer[20:]) == 0


@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12, 1, 255])
def test_no_error_about_an_icmp_error_or_an_unknown_icmp(kind: int) -> None:
    assert net_unreachable(ipv4(bytes([kind]) + bytes(20), protocol=1), TUN) is None


def test_no_error_about_an_icmp_that_is_cut_short() -> None:
    assert net_unreachable(ipv4(b"", protocol=1), TUN) is None


@pytest.mark.parametrize("kind", [0, 8, 13, 15, 17])
def test_a_ping_to_an_unknown_destination_is_answered(kind: int) -> None:
    assert net_unreachable(ipv4(bytes([kind]) + bytes(20), protocol=1), TUN) is not None


def test_no_error_about_a_fragment_other_than_the_first() -> None:
    assert net_unreachable(ipv4(fragment=0x2001), TUN) is None
    assert net_unreachable(ipv4(fragment=0x0001), TUN) is None


@pytest.mark.parametrize("destination", ["224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255"])
def test_no_error_about_a_multicast_or_broadcast(destination: str) -> None:
    assert net_unreachable(ipv4(destination=destination), TUN) is None


def test_no_error_about_the_networks_broadcast() -> None:
    broadcast = int(IPv4Address("10.2.255.255"))
    assert net_unreachable(ipv4(destination="10.2.255.255"), TUN, broadcast) is None
    assert net_unreachable(ipv4(source="10.2.255.255"), TUN, broadcast) is None


@pytest.mark.parametrize("source", ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1"])
def test_no_error_to_a_source_that_is_no_single_host(source: str) -> None:
    assert net_unreachable(ipv4(source=source), TUN) is None
