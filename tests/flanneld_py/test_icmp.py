from ipaddress import IPv4Address

import pytest

from flanneld_py.datapath.icmp import fragmentation_needed, net_unreachable, time_exceeded
from flanneld_py.datapath.packet import Header
from tests.flanneld_py.test_packet import POD, TUN, by_hand, ipv4


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


def test_fragmentation_needed_tells_what_passes() -> None:
    """RFC 1191, section 4: type 3 code 4, the next hop's MTU in the last two bytes of the header."""
    answer = fragmentation_needed(ipv4(bytes(1400)), TUN, 1372)
    assert answer is not None
    assert answer[20:22] == b"\x03\x04"
    assert answer[24:28] == bytes(2) + (1372).to_bytes(2)
    assert answer[28:] == ipv4(bytes(1400))[:28]
    assert by_hand(answer[20:]) == 0


def test_time_exceeded_is_of_rfc_792() -> None:
    answer = time_exceeded(ipv4(ttl=1), TUN)
    assert answer is not None
    assert answer[20:22] == b"\x0b\x00"
    assert answer[24:] == bytes(4) + ipv4(ttl=1)[:28]
    assert Header.of(answer).destination == int(IPv4Address(POD))
