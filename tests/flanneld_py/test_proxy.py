"""The packet loop, with a pair of sockets in place of the TUN device and one in place of the wire."""

import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from struct import pack

import pytest

from flanneld_py.backend import Flow, Statistics
from flanneld_py.datapath.forward import ForwardTable
from flanneld_py.datapath.packet import checksum
from flanneld_py.datapath.proxy import Mandate, Proxy
from flanneld_py.datapath.traffic import Traffic
from lab import wait

OURS, THEIRS = "10.2.35.2", "10.2.52.2"  # the tutorial's two pods
TUNNEL = IPv4Address("10.2.35.0")
TTL = 8  # where an IPv4 header has it


def packet(source: str, destination: str, ttl: int = 64, payload: bytes = bytes(8)) -> bytes:
    """A UDP packet (protocol 17), as RFC 791 has it."""
    header = pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, ttl, 17, 0,
        socket.inet_aton(source), socket.inet_aton(destination),
    )  # fmt: skip
    return header[:10] + checksum(header).to_bytes(2) + header[12:] + payload


class Wire:
    """Both ends of a proxy: the kernel's side of its device, and its peer's socket."""

    def __init__(self) -> None:
        self.kernel, self.device = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.device.setblocking(False)
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.near.bind(("127.0.0.1", 0))
        self.near.setblocking(False)
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind(("127.0.0.1", 0))
        for end in (self.kernel, self.peer):
            end.settimeout(5)
        self.seconds = 0.0
        self.traffic = Traffic()
        self.proxy = Proxy(self.device.fileno(), self.near, 1472, self.traffic, now=lambda: self.seconds)
        hops = {IPv4Network("10.2.52.0/24"): self.peer.getsockname()}
        self.mandate = Mandate(TUNNEL, ForwardTable.of(hops, IPv4Network("10.2.0.0/16")), until=100.0)
        self.proxy.mandate = self.mandate

    def close(self) -> None:
        self.proxy.close()
        for end in (self.kernel, self.device, self.near, self.peer):
            end.close()

    def drops(self, reason: str) -> None:
        def probe() -> bool | wait.NotYet:
            return bool(self.traffic.dropped[reason]) or wait.NotYet(str(self.traffic.dropped))

        wait.until(probe, what=f"a packet dropped for {reason!r}", timeout=5, interval=0.01)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    made.proxy.start()
    yield made
    made.close()


def test_a_packet_for_a_peers_subnet_is_one_datagram_to_that_peer(wire):
    sent = packet(OURS, THEIRS)
    wire.kernel.send(sent)
    received = wire.peer.recv(2000)
    assert received[TTL] == sent[TTL] - 1
    assert received[12:] == sent[12:]
    assert checksum(received[:20]) == 0


def test_a_datagram_is_one_packet_for_the_kernel(wire):
    sent = packet(THEIRS, OURS)
    wire.peer.sendto(sent, wire.near.getsockname())
    received = wire.kernel.recv(2000)
    assert received[TTL] == sent[TTL] - 1
    assert received[12:] == sent[12:]


def test_a_datagram_that_is_no_packet_is_dropped(wire):
    wire.peer.sendto(b"what?", wire.near.getsockname())
    wire.drops("shorter than an IPv4 header")


def test_a_datagram_longer_than_the_mtu_is_dropped_and_not_cut(wire):
    wire.peer.sendto(packet(THEIRS, OURS, payload=bytes(1472)), wire.near.getsockname())
    wire.drops("total length differs from the packet's")


def test_without_a_lease_nothing_goes_either_way(wire):
    wire.proxy.mandate = None
    wire.kernel.send(packet(OURS, THEIRS))
    wire.drops("no lease")
    wire.traffic.dropped.clear()
    wire.peer.sendto(packet(THEIRS, OURS), wire.near.getsockname())
    wire.drops("no lease")


def test_a_lease_that_has_ended_carries_nothing_though_nobody_took_it_away(wire):
    wire.seconds = 100.0
    wire.kernel.send(packet(OURS, THEIRS))
    wire.drops("no lease")
    wire.seconds = 99.0
    wire.kernel.send(packet(OURS, THEIRS))
    assert wire.peer.recv(2000)


def test_a_packet_that_cannot_be_sent_is_lost_and_the_next_is_not(wire, caplog):
    # Broadcast is not permitted to such a socket: EACCES.
    hops = {IPv4Network("10.2.52.0/24"): ("255.255.255.255", 8285)}
    wire.proxy.mandate = Mandate(TUNNEL, ForwardTable.of(hops), until=100.0)
    for _ in range(3):
        wire.kernel.send(packet(OURS, THEIRS))
    wire.drops("sending to 255.255.255.255: Permission denied")
    wire.proxy.mandate = wire.mandate
    wire.kernel.send(packet(OURS, THEIRS))
    assert wire.peer.recv(2000)
    assert caplog.text.count("sending to 255.255.255.255") == 1


def test_a_device_that_is_gone_ends_the_loop_and_is_told():
    wire = Wire()
    # A pipe's writing end: readable for poll(2) once the other end is closed, and read(2) fails.
    reader, writer = os.pipe2(os.O_NONBLOCK)
    proxy = Proxy(writer, wire.near, 1472, Traffic())
    proxy.start()
    os.close(reader)

    def probe() -> OSError | wait.NotYet:
        return proxy.failure or wait.NotYet("no failure")

    wait.until(probe, what="the proxy to notice", timeout=5, interval=0.01)
    proxy.close()
    os.close(writer)
    wire.close()


def test_packets_and_bytes_are_counted_by_known_peers_and_the_others_together(wire):
    wire.traffic.know("127.0.0.1")
    wire.kernel.send(packet(OURS, THEIRS))
    wire.peer.recv(2000)
    wire.peer.sendto(packet(THEIRS, OURS), wire.near.getsockname())
    wire.kernel.recv(2000)
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(packet(THEIRS, OURS), wire.near.getsockname())
        wire.kernel.recv(2000)

    def probe() -> Statistics | wait.NotYet:
        seen = wire.traffic.statistics()
        return seen if "" in seen.received else wait.NotYet(str(seen))

    seen = wait.until(probe, what="three packets to be counted", timeout=5, interval=0.01)
    assert seen.sent == {"127.0.0.1": Flow(1, 28)}
    assert seen.received == {"127.0.0.1": Flow(1, 28), "": Flow(1, 28)}
