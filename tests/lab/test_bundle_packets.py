"""Packets in a bundle: which of their bytes leave a machine, and the file that they are in."""

import json
import struct
import zlib
from base64 import b64encode

import pytest

from lab.bundle.contents import bundle_of
from lab.bundle.inside.packets import kept, packets, pcap
from lab.bundle.inside.recorder import SNAPLEN
from tests.kernel.frames import checksum, in_datagram, in_ipv4
from tests.lab.bundles import ONE, bundled_lab, evidence

ALICE, BOB = "192.168.199.52", "192.168.199.53"
INSIDE = "10.2.1.2", "10.2.2.2"
SECRET = b"\x0a\x04root\x12\x0fa very secret 1"
"""As etcd's AuthenticateRequest carries a name and a password (rpc.proto)."""


def ethernet(packet: bytes, kind: int = 0x0800) -> bytes:
    return bytes(12) + kind.to_bytes(2) + packet


def ipv4(protocol: int, payload: bytes, ends: tuple[str, str] = (ALICE, BOB), fragment: int = 0) -> bytes:
    """RFC 791."""
    packet = bytearray(in_ipv4(payload, *ends))
    packet[6:8], packet[9], packet[10:12] = fragment.to_bytes(2), protocol, bytes(2)
    packet[10:12] = checksum(bytes(packet[:20])).to_bytes(2)
    return bytes(packet)


def ipv6(following: int, payload: bytes) -> bytes:
    """RFC 8200."""
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + bytes(32) + payload


def tcp(payload: bytes = SECRET, options: bytes = bytes(12)) -> bytes:
    """RFC 9293."""
    words = 5 + len(options) // 4
    return struct.pack("!HHIIBBHHH", 40000, 2379, 1, 1, words << 4, 0x18, 512, 0, 0) + options + payload


def udp(payload: bytes = SECRET, port: int = 53) -> bytes:
    """RFC 768."""
    return struct.pack("!HHHH", 40000, port, len(payload) + 8, 0) + payload


VXLAN = b"\x08\0\0\0" + b"\0\0\1\0"
"""RFC 7348, with the network identifier 1."""


def echo(kind: int) -> bytes:
    """RFC 792, RFC 4443."""
    return struct.pack("!BBHHH", kind, 0, 0, 1, 1) + SECRET


ENDING_WITH_A_SECRET = {
    "TCP": ethernet(ipv4(6, tcp())),
    "TCP with all its options": ethernet(ipv4(6, tcp(options=bytes(40)))),
    "UDP": ethernet(ipv4(17, udp())),
    "TCP in IPv6": ethernet(ipv6(6, tcp()), 0x86DD),
    "TCP after an extension header": ethernet(ipv6(0, bytes([6, 0, 1, 4, 0, 0, 0, 0]) + tcp()), 0x86DD),
    "TCP in VXLAN": ethernet(ipv4(17, udp(VXLAN + ethernet(ipv4(6, tcp(), INSIDE)), 8472))),
    "TCP in flannel's udp": ethernet(in_datagram(ipv4(6, tcp(), INSIDE), ALICE, BOB)),
    "TCP in IPIP": ethernet(ipv4(4, ipv4(6, tcp(), INSIDE))),
    "an echo request": ethernet(ipv4(1, echo(8))),
    "an echo request of IPv6": ethernet(ipv6(58, echo(128)), 0x86DD),
    "an error that quotes TCP": ethernet(ipv4(1, bytes([3, 4]) + bytes(6) + ipv4(6, tcp()))),
    "an error that quotes TCP of IPv6": ethernet(ipv6(58, bytes([2, 0]) + bytes(6) + ipv6(6, tcp())), 0x86DD),
    "a fragment that is not the first": ethernet(ipv4(6, SECRET, fragment=185)),
    "a protocol that is not known": ethernet(ipv4(50, SECRET)),
    "no IP": ethernet(SECRET, 0x88CC),
}
"""Of each the headers are everything before the secret."""


@pytest.mark.parametrize("name", ENDING_WITH_A_SECRET)
def test_of_a_packet_the_headers_are_left_and_nothing_that_they_carry(name: str) -> None:
    frame = ENDING_WITH_A_SECRET[name]
    assert frame[: kept(frame)] == frame.removesuffix(SECRET)


@pytest.mark.parametrize("name", ENDING_WITH_A_SECRET)
def test_no_packet_is_cut_off_so_short_that_it_cannot_be_read(name: str) -> None:
    frame = ENDING_WITH_A_SECRET[name]
    for size in range(len(frame)):
        assert kept(frame[:size]) <= size


def test_what_carries_nothing_of_anybody_is_left_whole() -> None:
    arp = ethernet(struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + bytes(20), 0x0806)  # RFC 826
    assert kept(arp) == len(arp)
    neighbour = ethernet(ipv6(58, struct.pack("!BBHI", 135, 0, 0, 0) + bytes(24)), 0x86DD)  # RFC 4861
    assert kept(neighbour) == len(neighbour)


def test_the_headers_of_a_tunnel_and_of_what_is_in_it_are_no_longer_than_what_is_recorded() -> None:
    inner = ethernet(ipv6(6, tcp(b"", options=bytes(40))), 0x86DD)
    assert len(ethernet(ipv6(17, udp(VXLAN + inner)), 0x86DD)) <= SNAPLEN


def test_a_packet_in_packets_without_end_ends_all_the_same() -> None:
    packet = ipv4(6, tcp())
    for _ in range(9):
        packet = ipv4(4, packet)
    assert kept(ethernet(packet)) < len(ethernet(packet)) - len(SECRET)


def block(*frames: bytes) -> bytes:
    """As the kernel fills one: struct tpacket_block_desc and tpacket3_hdr of linux/if_packet.h."""
    data = bytearray(struct.pack("@2I4IQ4I", 3, 48, 1, len(frames), 48, 0, 1, 0, 0, 0, 0))
    for number, frame in enumerate(frames, 1):
        size = (68 + len(frame) + 7) // 8 * 8
        following = size if number < len(frames) else 0
        head = struct.pack(
            "@6I2H3I2H8x", following, 1_480_411_500 + number, 7, len(frame), 1500, 1, 68, 82, 0, 0, 0, 0, 0
        )
        data += (head.ljust(68, b"\0") + frame).ljust(size, b"\0")
    return bytes(data)


def test_the_file_is_as_the_draft_of_the_ietf_has_it() -> None:
    """draft-ietf-opsawg-pcap, 4 and 5."""
    first, second = ENDING_WITH_A_SECRET["UDP"], ENDING_WITH_A_SECRET["an echo request"]
    file = pcap(list(packets(block(first, second))))
    magic, major, minor, _, _, snaplen, link = struct.unpack_from("@IHHIIII", file)
    assert (magic, major, minor, link) == (0xA1B23C4D, 2, 4, 1)
    at, found = 24, []
    while at < len(file):
        seconds, nanoseconds, captured, length = struct.unpack_from("@IIII", file, at)
        assert captured <= snaplen
        found.append((seconds, nanoseconds, length, file[at + 16 : at + 16 + captured]))
        at += 16 + captured
    assert found == [
        (1_480_411_501, 7, 1500, first.removesuffix(SECRET)),
        (1_480_411_502, 7, 1500, second.removesuffix(SECRET)),
    ]


def printed(data: bytes, text: str) -> str:
    return (
        json.dumps({"device": "eth0", "pcap": b64encode(zlib.compress(data)).decode(), "text": text}) + "\n"
    )


def test_a_bundle_has_two_files_for_each_device_that_the_page_tells_of() -> None:
    file = pcap([(1, 2, 3, ENDING_WITH_A_SECRET["TCP"])])
    lab = bundled_lab(answers={ONE: {"packets": (printed(file, "1 packets from 09:25:01\n"), "", 0)}})
    bundle = bundle_of(evidence(lab))
    found = {entry.path: entry.data for entry in bundle.entries}
    assert found[f"packets/{ONE}-eth0.pcap"] == file
    assert found[f"packets/{ONE}-eth0.log"] == b"1 packets from 09:25:01\n"
    assert [path for path in found if path.startswith("packets/") and ONE not in path] == []
    page = found["index.html"].decode()
    assert f'href="packets/{ONE}-eth0.pcap"' in page
    assert f"{len(file)} bytes" in page
    (told,) = [item for item in bundle.document["files"] if item["path"].endswith(".pcap")]
    assert (told["node"], told["size"]) == (ONE, len(file))


def test_what_cannot_be_told_of_packets_is_said() -> None:
    lab = bundled_lab(answers={ONE: {"packets": ("{}\n", "no answer", 124)}})
    found = {entry.path: str(entry.content) for entry in bundle_of(evidence(lab)).entries}
    assert "{}\n" in found[f"packets/{ONE}-incomplete.txt"]
    assert "no answer" in found[f"packets/{ONE}-incomplete.txt"]
