"""A stand-in for a container on this minion, which pings those on the others and answers their pings.

It is a network namespace behind docker0, with an address that Docker has not assigned, so its packets take
the path of a container's: through docker0, the FORWARD chain and flannel's routes, in both directions. The
namespace ends with this process, however that ends, and so does the pair of devices.

It writes and reads lines of JSON:
    -> {"address": ADDRESS, "address6": ADDRESS or ""}, or {"error": WORDS} and ends
    <- {"peers": {NAME: ADDRESS}, "seconds": N}, where addresses may be of IPv4 and of IPv6
    -> {"answers": {NAME: {"ttl": N} or {"error": WORDS}}}
    <- anything, or the end of input: it ends

Arguments: PID ADDRESS [IPv6-ADDRESS] of a container, whose namespace is used where docker0's subnet has no
address left.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Any

LIFE = 3600
"""Seconds after which it ends in any case."""

CLONE_NEWNET = 0x40000000
"""linux/sched.h."""

BRIDGE = "docker0"
DOCKER = "/var/run/docker.sock"
PATIENCE = 10.0
"""Seconds for a command, and for Docker to list the addresses in use; if silent, it assigns none either."""

ECHO_REPLY, UNREACHABLE, ECHO, TIME_EXCEEDED = 0, 3, 8, 11
"""ICMP types, RFC 792."""

ECHO6, ECHO_REPLY6 = 128, 129
"""ICMPv6 types, RFC 4443."""

WORDS6 = {
    (1, 0): "no route to destination",
    (1, 1): "communication administratively prohibited",
    (1, 3): "address unreachable",
    (1, 4): "port unreachable",
    (3, 0): "hop limit exceeded in transit",
}
"""RFC 4443, 3.1 and 3.3."""

WORDS = {
    (UNREACHABLE, 0): "network unreachable",
    (UNREACHABLE, 1): "host unreachable",
    (UNREACHABLE, 3): "port unreachable",
    (UNREACHABLE, 13): "communication administratively prohibited",
    (TIME_EXCEEDED, 0): "TTL exceeded in transit",
}
"""RFC 792 and 1812, 5.2.7.1."""

AGAIN = 0.2
"""Seconds after which a silent peer is pinged again: a flannel may lose the first packet to a peer."""


claimed: list[socket.socket] = []
"""The sockets that reserve our address, so that another probe on this machine takes a different one."""


class NoPlaceError(Exception):
    """There is nowhere to ping from; the message says why."""


def number(address: str) -> int:
    """An IPv4 address as a number."""
    return int.from_bytes(socket.inet_aton(address))


def address(value: int) -> str:
    """A number as an IPv4 address."""
    return socket.inet_ntoa(value.to_bytes(4))


def candidates(gateway: str, length: int, taken: set[str]) -> list[str]:
    """The free addresses of the bridge's subnet, from the top: Docker assigns them from the bottom."""
    mask = ~0 << 32 - length & 0xFFFFFFFF
    first = number(gateway) & mask
    last = first | ~mask & 0xFFFFFFFF
    free = (address(value) for value in range(last - 1, max(first, last - 256), -1))
    return [item for item in free if item != gateway and item not in taken]


def given() -> set[str]:
    """The addresses of Docker's bridge network that containers have."""
    answer = b""
    with socket.socket(socket.AF_UNIX) as docker, contextlib.suppress(OSError):
        docker.settimeout(PATIENCE)
        docker.connect(DOCKER)
        docker.sendall(b"GET /networks/bridge HTTP/1.0\r\n\r\n")
        while data := docker.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        return set()
    containers = json.loads(body)["Containers"]
    return {item["IPv4Address"].partition("/")[0] for item in containers.values()}


def run(*argv: str, text: str = "") -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(
        argv,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise NoPlaceError(f"{' '.join(argv)}: {done.stdout.strip() or done.returncode}")
    return done.stdout


def bridge(family: str = "-4") -> tuple[str, int, int]:
    """docker0's address, its length and its MTU."""
    for item in json.loads(run("ip", "-json", family, "address", "show", "dev", BRIDGE, "scope", "global")):
        for own in item.get("addr_info", ()):
            return own["local"], own["prefixlen"], item["mtu"]
    raise NoPlaceError(f"{BRIDGE} has no address")


def bridge6() -> tuple[str, int] | None:
    """docker0's IPv6 address and its length, if it has one."""
    try:
        return bridge("-6")[:2]
    except NoPlaceError:
        return None


def like(own: str, length: int, gateway: str, length6: int) -> str:
    """The IPv6 address that is as far from the top of its subnet as `own` is from the top of its own.

    So two stand-ins never take the same one. Docker assigns from the bottom, or by the MAC.
    """
    last = number(own) | ~(~0 << 32 - length) & 0xFFFFFFFF
    return str(IPv6Address(int(IPv6Network((gateway, length6), strict=False)[-1]) - (last - number(own))))


def enter(kind: str, result: int) -> None:
    """Raise the error of a C library call, if it failed."""
    if result != 0:
        raise NoPlaceError(f"{kind}: {os.strerror(ctypes.get_errno())}")


def settle(pod: list[str]) -> tuple[str, str]:
    """Move into a namespace behind docker0; return the addresses there, of IPv4 and of IPv6, if any."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = f"/proc/{os.getpid()}/fd/{os.open('/proc/self/ns/net', os.O_RDONLY)}"
    gateway, length, mtu = bridge()
    ipv6 = bridge6()
    for own in candidates(gateway, length, given()):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0lab-probe/{own}")
        except OSError:
            lock.close()
            continue
        claimed.append(lock)
        enter("unshare", libc.unshare(CLONE_NEWNET))
        pid = os.getpid()
        run(
            *("nsenter", f"--net={home}", "ip", "-batch", "-"),
            text=f"link add lab{pid} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {pid}\n"
            f"link set lab{pid} master {BRIDGE} up\n",
        )
        run(
            *("ip", "-batch", "-"),
            text=f"link set lo up\naddress add {own}/{length} dev eth0\nlink set eth0 up\n"
            f"route add default via {gateway}\n",
        )
        if ipv6 is None:
            return own, ""
        own6 = like(own, length, *ipv6)
        run(
            *("ip", "-6", "-batch", "-"),
            text=f"address add {own6}/{ipv6[1]} dev eth0 nodad\nroute add default via {ipv6[0]}\n",
        )
        return own, own6
    if not pod:
        raise NoPlaceError(f"{BRIDGE} has no address left in {gateway}/{length}")
    there = os.open(f"/proc/{pod[0]}/ns/net", os.O_RDONLY)
    enter("setns", libc.setns(there, CLONE_NEWNET))
    return pod[1], "".join(pod[2:])


def checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def request(identifier: int, sequence: int) -> bytes:
    """An echo request as ping(8) sends it: 64 bytes."""
    payload = bytes(56)
    head = struct.pack("!BBHHH", ECHO, 0, 0, identifier, sequence)
    return struct.pack("!BBHHH", ECHO, 0, checksum(head + payload), identifier, sequence) + payload


def reading(packet: bytes, identifier: int) -> tuple[int, dict[str, Any]] | None:
    """The number of our request that an ICMP packet, with its IP header, is about, and the answer."""
    size = (packet[0] & 15) * 4
    kind, code = packet[size], packet[size + 1]
    if kind == ECHO_REPLY:
        asked, sequence = struct.unpack_from("!HH", packet, size + 4)
        return (sequence, {"ttl": packet[8]}) if asked == identifier else None
    inner = packet[size + 8 :]
    if kind not in (UNREACHABLE, TIME_EXCEEDED) or len(inner) < 28:
        return None
    asked, sequence = struct.unpack_from("!HH", inner, (inner[0] & 15) * 4 + 4)
    if asked != identifier:
        return None
    words = WORDS.get((kind, code), f"ICMP type {kind} code {code}")
    return sequence, {"error": f"{socket.inet_ntoa(packet[12:16])} says: {words}"}


def request6(identifier: int, sequence: int) -> bytes:
    """The same of ICMPv6, whose checksum the kernel computes (RFC 3542, 3.1)."""
    return struct.pack("!BBHHH", ECHO6, 0, 0, identifier, sequence) + bytes(56)


def reading6(packet: bytes, limit: int, sender: str, identifier: int) -> tuple[int, dict[str, Any]] | None:
    """As `reading`, of an ICMPv6 packet without its IP header, which has had this hop limit and sender."""
    kind, code = packet[0], packet[1]
    if kind == ECHO_REPLY6:
        asked, sequence = struct.unpack_from("!HH", packet, 4)
        return (sequence, {"ttl": limit}) if asked == identifier else None
    inner = packet[8 + 40 :]
    if kind >= ECHO6 or len(inner) < 8:  # below it are errors (RFC 4443, 2.1)
        return None
    asked, sequence = struct.unpack_from("!HH", inner, 4)
    if asked != identifier:
        return None
    words = WORDS6.get((kind, code), f"ICMPv6 type {kind} code {code}")
    return sequence, {"error": f"{sender} says: {words}"}


def heard(sockets: list[socket.socket], identifier: int, wait: float) -> Iterator[tuple[int, dict[str, Any]]]:
    """What comes about our requests in so many seconds."""
    for ready in select.select(sockets, [], [], wait)[0]:
        packet, extra, _, sender = ready.recvmsg(65535, 64)
        if ready.family == socket.AF_INET:
            found = reading(packet, identifier)
        else:
            limits = [data for _, kind, data in extra if kind == socket.IPV6_HOPLIMIT]
            found = reading6(packet, struct.unpack("i", limits[0])[0], sender[0], identifier)
        if found is not None:
            yield found


def ask(peers: dict[str, str], seconds: float) -> dict[str, dict[str, Any]]:
    """Ping each peer until it answers; return the TTL of its answer, or the error that came instead."""
    names, identifier = list(peers), os.getpid() & 0xFFFF
    answers: dict[str, dict[str, Any]] = {
        name: {"error": f"no answer within {seconds:.0f} s"} for name in names
    }
    icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    icmp6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    icmp6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    now = time.monotonic()
    due, deadline = now, now + seconds
    while (waiting := [name for name in names if "ttl" not in answers[name]]) and now < deadline:
        if now >= due:
            for name in waiting:
                sequence, to = names.index(name), peers[name]
                try:
                    if ":" in to:
                        icmp6.sendto(request6(identifier, sequence), (to, 0))
                    else:
                        icmp.sendto(request(identifier, sequence), (to, 0))
                except OSError as error:
                    answers[name] = {"error": error.strerror}
            due = now + AGAIN
        for about, answer in heard([icmp, icmp6], identifier, max(0.0, due - now)):
            if "ttl" not in answers[names[about]]:
                answers[names[about]] = answer
        now = time.monotonic()
    return answers


def say(value: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.alarm(LIFE)
    try:
        own, own6 = settle(sys.argv[1:])
    except NoPlaceError as error:
        say({"error": str(error)})
        sys.exit(1)
    say({"address": own, "address6": own6})
    if line := sys.stdin.readline():
        wanted = json.loads(line)
        say({"answers": ask(wanted["peers"], wanted["seconds"])})
        sys.stdin.readline()
    if claimed:  # the end of the namespace would remove it as well, a moment later
        run("ip", "link", "del", "eth0")
