"""Prints the last packets that the recorder of this machine has, without what they carry.

This file runs on a machine of the lab and imports nothing of ours:

    packets.py PATH SECONDS LINES LIMIT

For each device it prints a line of JSON: {"device": NAME, "pcap": DATA, "text": TEXT}, where DATA are the
packets of the last SECONDS as a file of libpcap, deflated, in base64, and TEXT is what tcpdump says of the
last LINES of them, for which it has LIMIT seconds. Where nobody records it prints nothing.

Of a packet only headers are left, those of a tunnel and of the packet inside it too: what TCP, UDP or a
protocol that is not known here carries, passwords above all, never leaves the machine.
"""

import base64
import json
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

ETHERNET = 14
IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
ICMP, IPIP, TCP, UDP, IPV6_IN, ICMPV6 = 1, 4, 6, 17, 41, 58
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
"""https://www.iana.org/assignments/protocol-numbers"""

ERRORS = {ICMP: {3, 4, 5, 11, 12}, ICMPV6: {1, 2, 3, 4}}
"""They quote the packet that they are about (RFC 792, RFC 4443)."""
ICMPV6_OWN = {*range(130, 138), 143}
"""Of multicast listeners and of neighbours: they carry nothing of anybody else (RFC 4861, RFC 9777)."""

VXLAN = 8
"""Bytes of its header (RFC 7348), of which the flags say that there is a VNI, and the rest of which is 0."""

PCAP_NANOSECONDS, LINKTYPE_ETHERNET = 0xA1B23C4D, 1
"""https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html"""

FIRST_PACKET = 16
"""Where this field stands in a struct tpacket_block_desc."""
PACKET = struct.Struct("@6I2H")
"""The beginning of a struct tpacket3_hdr: next, seconds, nanoseconds, captured, length, status, mac, net."""

MOST = 4
"""Packets in packets; more is no tunnel of ours."""


def kept(frame: bytes) -> int:
    """How many bytes of an Ethernet frame are headers that anybody may see."""
    return min(_of_ethernet(frame, 0, 0), len(frame))


def _of_ethernet(data: bytes, at: int, depth: int) -> int:
    kind = int.from_bytes(data[at + 12 : at + ETHERNET])
    inner = at + ETHERNET
    if kind == ARP:
        return inner + 28
    return _of_ip(data, inner, depth) if kind in (IPV4, IPV6) else inner


def _of_ip(data: bytes, at: int, depth: int) -> int:
    """The end of the headers of the packet that begins at `at`."""
    if depth == MOST or at >= len(data):
        return at
    if data[at] >> 4 == 6:
        return _of_ipv6(data, at, depth)
    end = at + (data[at] & 15) * 4
    if len(data) < at + 20 or data[at] >> 4 != 4 or int.from_bytes(data[at + 6 : at + 8]) & 0x1FFF:
        return end  # of a fragment that is not the first, what follows is no header
    return _of_protocol(data, end, data[at + 9], depth)


def _of_ipv6(data: bytes, at: int, depth: int) -> int:
    following, end = at + 6, at + 40
    while end + 8 <= len(data):
        protocol = data[following]
        if protocol not in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION):
            return _of_protocol(data, end, protocol, depth)
        if protocol == FRAGMENT and int.from_bytes(data[end + 2 : end + 4]) & 0xFFF8:
            return end + 8
        following, end = end, end + (8 if protocol == FRAGMENT else (data[end + 1] + 1) * 8)
    return end


def _of_protocol(data: bytes, at: int, protocol: int, depth: int) -> int:
    if at >= len(data):
        return at
    if protocol == TCP:
        return at + (data[at + 12] >> 4) * 4 if at + 12 < len(data) else at
    if protocol == UDP:
        return _of_udp(data, at + 8, depth)
    if protocol in (IPIP, IPV6_IN):
        return _of_ip(data, at, depth + 1)
    if data[at] in ERRORS.get(protocol, ()):
        return _of_ip(data, at + 8, depth + 1)
    if protocol == ICMPV6 and data[at] in ICMPV6_OWN:
        return len(data)
    return at + 8 if protocol in ERRORS else at


def _of_udp(data: bytes, at: int, depth: int) -> int:
    """A tunnel is known by what it carries, so that its port may be any."""
    if _is_vxlan(data[at:]):
        return _of_ethernet(data, at + VXLAN, depth + 1)
    return _of_ip(data, at, depth + 1) if _is_ipv4(data[at:]) else at


def _is_vxlan(data: bytes) -> bool:
    head, kind = data[:VXLAN], int.from_bytes(data[VXLAN + 12 : VXLAN + ETHERNET])
    return head[:4] == b"\x08\0\0\0" and head[7:] == b"\0" and kind in {IPV4, IPV6, ARP}


def _is_ipv4(data: bytes) -> bool:
    """Whether an IPv4 packet begins here: the sum over its header is right (RFC 1071)."""
    size = (data[0] & 15) * 4 if data else 0
    if size < 20 or len(data) < size or data[0] >> 4 != 4:
        return False
    return sum(int.from_bytes(data[at : at + 2]) for at in range(0, size, 2)) % 0xFFFF == 0


def packets(block: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Those in a block of the kernel's: seconds, nanoseconds, length on the wire, and what was captured."""
    (at,) = struct.unpack_from("@I", block, FIRST_PACKET)
    while True:
        following, seconds, nanoseconds, captured, length, _, mac, _ = PACKET.unpack_from(block, at)
        yield seconds, nanoseconds, length, block[at + mac : at + mac + captured]
        if not following:
            return
        at += following


def pcap(found: list[tuple[int, int, int, bytes]]) -> bytes:
    """The headers of these packets as a file."""
    parts = [struct.pack("=IHHiIII", PCAP_NANOSECONDS, 2, 4, 0, 0, 1 << 18, LINKTYPE_ETHERNET)]
    for seconds, nanoseconds, length, frame in found:
        size = kept(frame)
        parts += [struct.pack("=IIII", seconds, nanoseconds, size, length), frame[:size]]
    return b"".join(parts)


def shown(found: list[tuple[int, int, int, bytes]], lines: int, dropped: int, limit: float) -> str:
    """What tcpdump says of the last ones; how many there are, and of when."""
    if not found:
        return "No packet has come or gone lately.\n"
    first, last = (
        datetime.fromtimestamp(each[0], UTC).strftime("%H:%M:%S") for each in (found[0], found[-1])
    )
    end = f"--- {len(found)} packets from {first} to {last} UTC"
    end += f", of which these are the last {lines}" if len(found) > lines else ""
    end += f"; {dropped} came too fast to be kept since the recorder was started" if dropped else ""
    return f"{words(pcap(found[-lines:]), limit)}{end}\n"


def words(file: bytes, limit: float) -> str:
    """What tcpdump makes of a file."""
    argv = ["tcpdump", "-n", "-tttt", "--nano", "-r", "-"]
    try:
        told = subprocess.run(argv, input=file, capture_output=True, timeout=limit, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        return f"--- no tcpdump: {error}\n"  # the file itself has all that it would say
    return told.stdout.decode(errors="replace")


def asked(path: str) -> tuple[Any, bytes]:
    """What the recorder tells. Raises `OSError` where there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        with connection.makefile("rb") as told:
            return json.loads(told.readline())["devices"], told.read()


def main() -> None:
    """Print them."""
    path, seconds, lines, limit = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    try:
        devices, data = asked(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return
    at = 0
    now = datetime.now(UTC).timestamp()
    for device in devices:
        found = []
        for length in device["blocks"]:
            found += [each for each in packets(data[at : at + length]) if each[0] >= now - seconds]
            at += length
        file = base64.b64encode(zlib.compress(pcap(found), 6)).decode()
        text = shown(found, lines, device["dropped"], limit)
        json.dump({"device": device["device"], "pcap": file, "text": text}, sys.stdout)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
