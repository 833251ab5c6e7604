"""Encapsulated packets from a machine outside the overlay, and how many echo requests pods have received."""

import json
import socket
import struct
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from lab.faults.inside.kinds import Failed, Given, event, until
from lab.faults.inside.leases import lease_of
from lab.faults.inside.store import open_store

__all__ = ["echo_request", "ethernet", "vxlan"]

COUNT = 5
"""Packets that are sent."""

ECHO = 8
"""ICMP's type, RFC 792."""

HAS_VNI = 0x08
"""VXLAN's only flag, RFC 7348, section 5."""

IPV4 = 0x0800
"""EtherType."""

OUR_MAC = bytes.fromhex("02005e005301")
"""Locally administered; no machine has it."""


def checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def echo_request(source: IPv4Address, destination: IPv4Address, number: int) -> bytes:
    """An IPv4 packet with an ICMP echo request."""
    body = struct.pack("!BBHHH", ECHO, 0, 0, 0x1AB, number)
    body = struct.pack("!BBHHH", ECHO, 0, checksum(body), 0x1AB, number)
    addresses = source.packed + destination.packed
    head = (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, 0, 64, socket.IPPROTO_ICMP, 0) + addresses
    )
    return head[:10] + checksum(head).to_bytes(2) + head[12:] + body


def ethernet(packet: bytes, to: str) -> bytes:
    """The frame of an IPv4 packet."""
    return bytes.fromhex(to.replace(":", "")) + OUR_MAC + IPV4.to_bytes(2) + packet


def vxlan(frame: bytes, vni: int) -> bytes:
    """The payload of VXLAN's datagram."""
    return struct.pack("!BxxxI", HAS_VNI, vni << 8) + frame


@event("spoof")
def spoof(given: Given) -> str:
    """Send echo requests for a machine's first pod, encapsulated, from an address that has no lease."""
    store = open_store(given["api"])
    leases = store.listing(f"{given['prefix']}/subnets")
    lease = lease_of(leases, given["address"])
    others = [entry for entry in leases if entry.key != lease.key] or [lease]
    subnet, other = (subnet_of_key(entry.key) for entry in (lease, others[0]))
    # What Docker gives to the first container, and what another machine's first container has.
    to, source = subnet[2], other[2]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(1, COUNT + 1):
            packet = echo_request(source, to, number)
            if given["vni"] is not None:
                packet = vxlan(
                    ethernet(packet, json.loads(lease.value)["BackendData"]["VtepMAC"]), given["vni"]
                )
            sender.sendto(packet, (given["address"], given["port"]))
    return f"sent {COUNT} echo requests for {to} in datagrams to {given['address']} port {given['port']}"


def subnet_of_key(key: str) -> IPv4Network:
    """Of a lease's key; with IPv6 it is followed by `&` and the other one. Raises `Failed`."""
    try:
        return IPv4Network(key.rpartition("/")[2].partition("&")[0].replace("-", "/"))
    except ValueError:
        raise Failed(f"{key} names no IPv4 subnet") from None


@event("echo-requests")
def echo_requests(given: Given) -> str:
    """How many the pods of this machine have received so far, once that does not grow any more."""
    seen = [-1]

    def grows() -> str:
        seen.append(_received())
        return "" if seen[-1] == seen[-2] else f"{seen[-1]} echo requests"

    until(grows, "the echo requests under way to arrive")
    return f"{given['when']}: its pods have received {seen[-1]} echo requests"


def _received() -> int:
    """InEchos of every network namespace but this machine's own, by one process of each (proc(5))."""
    found: dict[str, int] = {}
    own = str(Path("/proc/self/ns/net").readlink())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            namespace = str((process / "ns/net").readlink())
            if namespace == own or namespace in found:
                continue
            names, values = [
                line.split()
                for line in (process / "net/snmp").read_text(encoding="ascii").splitlines()
                if line.startswith("Icmp:")
            ]
        except OSError:  # it has ended
            continue
        found[namespace] = int(values[names.index("InEchos")])
    return sum(found.values())
