import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath.packet import (
    Header,
    checksum,
    decrement_ttl,
    fragments,
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
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
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


def reassembled(pieces: list[bytes]) -> bytes:
    """RFC 791, section 3.2, the reassembly procedure in short: data by offset, until the one without MF."""
    data, total = {}, None
    for piece in pieces:
        length, place = (piece[0] & 15) * 4, int.from_bytes(piece[6:8])
        assert by_hand(piece[:length]) == 0
        assert int.from_bytes(piece[2:4]) == len(piece)
        data[(place & 0x1FFF) * 8] = piece[length:]
        if not place & 0x2000:
            total = (place & 0x1FFF) * 8 + len(piece) - length
    whole = b"".join(data[at] for at in sorted(data))
    assert total == len(whole)
    return whole


@given(st.binary(max_size=4000), st.integers(68, 1500), st.sampled_from([0, 4, 20, 40]))
def test_fragments_are_short_enough_and_come_together_again(payload: bytes, mtu: int, options: int) -> None:
    packet = ipv4(payload, options=bytes([1]) * options)
    pieces = list(fragments(packet, mtu))
    assert all(len(piece) <= mtu for piece in pieces)
    assert reassembled(pieces) == payload
    assert {piece[4:6] + piece[8:10] + piece[12:20] for piece in pieces} == {
        packet[4:6] + packet[8:10] + packet[12:20]
    }


def test_a_fragment_is_cut_into_fragments_of_the_same_whole() -> None:
    first, middle = fragments(ipv4(bytes(range(100)), fragment=0x2000 | 7), 84)
    assert int.from_bytes(first[6:8]) == 0x2000 | 7
    assert int.from_bytes(middle[6:8]) == 0x2000 | 7 + 64 // 8


def test_only_options_with_the_copied_flag_are_in_every_fragment() -> None:
    """RFC 791, section 3.1: loose source routing (131) is copied, record route (7) is not."""
    route, record = b"\x83\x07\x04\x0a\x02\x34\x02", b"\x07\x07\x04\x00\x00\x00\x00"
    packet = ipv4(bytes(200), options=record + route + bytes(2))
    first, *others = fragments(packet, 120)
    assert first[20:36] == record + route + bytes(2)
    assert [other[20:28] for other in others] == [route + bytes(1)] * len(others)
    assert all(other[0] == 0x47 for other in others)


def test_a_packet_that_fits_is_left_as_it_is() -> None:
    assert list(fragments(ipv4(), 68)) == [ipv4()]
