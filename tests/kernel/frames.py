"""Packets as they are on a wire, made from what the RFCs say."""

import struct

__all__ = ["checksum", "echo_request", "ends_of", "in_datagram", "in_ipv4", "saying"]


def checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(source: str, destination: str) -> bytes:
    """An IPv4 packet (RFC 791) with an echo request (RFC 792)."""

    def head(check: int) -> bytes:
        ends = b"".join(bytes(map(int, address.split("."))) for address in (source, destination))
        return struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 1, check) + ends

    icmp = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    return head(checksum(head(0))) + icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]


def ends_of(source: str, destination: str) -> bytes:
    return b"".join(bytes(map(int, address.split("."))) for address in (source, destination))


def in_ipv4(packet: bytes, source: str, destination: str) -> bytes:
    """What UDP makes, in IPv4 (RFC 791)."""
    head = bytes([0x45, 0, *(len(packet) + 20).to_bytes(2), 0, 1, 0, 0, 64, 17, 0, 0])
    head += ends_of(source, destination)
    return head[:10] + checksum(head).to_bytes(2) + head[12:] + packet


def in_datagram(packet: bytes, source: str, destination: str, *, summed: bool = False) -> bytes:
    """In IPv4 and UDP (RFC 768) to flannel's port, with or without a checksum of UDP's."""
    size = (len(packet) + 8).to_bytes(2)
    udp = b"".join(word.to_bytes(2) for word in (8285, 8285)) + size
    whole = ends_of(source, destination) + bytes([0, 17]) + size + udp + bytes(2) + packet
    check = checksum(whole + bytes(len(whole) % 2)) or 0xFFFF
    return in_ipv4(udp + (check if summed else 0).to_bytes(2) + packet, source, destination)


def saying(words: bytes, source: str, destination: str) -> bytes:
    """An inner packet for whoever listens by UDP at port 4244, without a checksum of its own."""
    udp = b"".join(word.to_bytes(2) for word in (4244, 4244, len(words) + 8, 0)) + words
    return in_ipv4(udp, source, destination)
