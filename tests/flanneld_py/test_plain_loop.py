"""The packet loop, with a pair of sockets in place of the TUN device and one in place of the wire."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from struct import pack

import pytest

from flanneld_py.datapath.forward import ForwardTable, Mandate, Peer
from flanneld_py.datapath.packet import checksum
from flanneld_py.datapath.plain import PlainLoop
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.monitor.statistics import Flow, Statistics
from lab import wait

OURS, THEIRS = "10.2.35.2", "10.2.52.2"  # the tutorial's two pods
TUNNEL = IPv4Address("10.2.35.0")
OUR_SUBNET, THEIR_SUBNET = IPv4Network("10.2.35.0/24"), IPv4Network("10.2.52.0/24")
OVERLAY = IPv4Network("10.2.0.0/16")
TTL = 8  # where an IPv4 header has it


def packet(source: str, destination: str, ttl: int = 64, payload: bytes = bytes(8)) -> bytes:
    """A UDP packet (protocol 17), as RFC 791 has it."""
    header = pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, ttl, 17, 0,
        socket.inet_aton(source), socket.inet_aton(destination),
    )  # fmt: skip
    return header[:10] + checksum(header).to_bytes(2) + header[12:] + payload


class Wire:
    """Both ends of a loop: the kernel's side of its device, and its peer's socket."""

    def __init__(self) -> None:
        self.kernel, self.device = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.device.setblocking(False)
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.near.bind(("127.0.0.1", 0))
        self.near.setblocking(False)
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind(("127.0.0.1", 0))
        for end in (self.kernel, self.peer):
            end.settimeout(30)
        self.seconds = 0.0
        self.traffic = Traffic()
        self.loop = PlainLoop(self.device.fileno(), self.near, 1472, self.traffic, now=lambda: self.seconds)
        self.mandate = self.mandate_towards(Peer(self.peer.getsockname(), 1472))
        self.loop.mandate = self.mandate

    def mandate_towards(self, peer: Peer) -> Mandate:
        return Mandate(TUNNEL, OUR_SUBNET, ForwardTable.of({THEIR_SUBNET: peer}, OVERLAY), until=100.0)

    def close(self) -> None:
        self.loop.close()
        for end in (self.kernel, self.device, self.near, self.peer):
            end.close()

    def drops(self, reason: str) -> None:
        def probe() -> bool | wait.NotYet:
            return bool(self.traffic.dropped[reason]) or wait.NotYet(str(self.traffic.dropped))

        wait.until(probe, what=f"a packet dropped for {reason!r}", timeout=30, interval=0.01)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    made.loop.start()
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
    wire.loop.mandate = None
    wire.kernel.send(packet(OURS, THEIRS))
    wire.drops("no lease")
    wire.traffic.dropped.clear()
    wire.peer.sendto(packet(THEIRS, OURS), wire.near.getsockname())
    wire.drops("no lease")


def test_a_lease_that_has_ended_carries_nothing_though_nobody_took_it_away(wire):
    wire.seconds = 100.0
    wire.kernel.send(packet(OURS, THEIRS))
    wire.drops("no lease")


def test_a_lease_carries_to_its_end(wire):
    wire.seconds = 99.9
    wire.kernel.send(packet(OURS, THEIRS))
    assert wire.peer.recv(2000)


def test_a_packet_that_cannot_be_sent_is_lost_and_the_next_is_not(wire, caplog):
    # Broadcast is not permitted to such a socket: EACCES.
    peers = {
        THEIR_SUBNET: Peer(wire.peer.getsockname(), 1472),
        IPv4Network("10.2.99.0/24"): Peer(("255.255.255.255", 8285), 1472),
    }
    wire.loop.mandate = replace(wire.mandate, table=ForwardTable.of(peers, OVERLAY))
    for _ in range(3):
        wire.kernel.send(packet(OURS, "10.2.99.2"))
    wire.kernel.send(packet(OURS, THEIRS))
    assert wire.peer.recv(2000)
    assert wire.traffic.dropped["sending to 255.255.255.255: Permission denied"] == 3
    assert caplog.text.count("sending to 255.255.255.255") == 1


def test_a_device_that_is_gone_ends_the_loop_and_is_told():
    wire = Wire()
    # A pipe's writing end: readable for poll(2) once the other end is closed, and read(2) fails.
    reader, writer = os.pipe2(os.O_NONBLOCK)
    loop = PlainLoop(writer, wire.near, 1472, Traffic())
    loop.start()
    os.close(reader)

    def probe() -> OSError | wait.NotYet:
        return loop.failure or wait.NotYet("no failure")

    wait.until(probe, what="the loop to notice", timeout=30, interval=0.01)
    loop.close()
    os.close(writer)
    wire.close()


def test_packets_and_bytes_are_counted_by_peer(wire):
    wire.traffic.know("127.0.0.1")
    wire.kernel.send(packet(OURS, THEIRS))
    wire.peer.recv(2000)
    wire.peer.sendto(packet(THEIRS, OURS), wire.near.getsockname())
    wire.kernel.recv(2000)

    def probe() -> Statistics | wait.NotYet:
        seen = wire.traffic.statistics()
        return seen if seen.received else wait.NotYet(str(seen))

    seen = wait.until(probe, what="two packets to be counted", timeout=30, interval=0.01)
    assert seen.sent == {"127.0.0.1": Flow(1, 28)}
    assert seen.received == {"127.0.0.1": Flow(1, 28)}


def test_a_datagram_of_a_stranger_is_dropped_and_counted_by_its_reason(wire):
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(packet(THEIRS, OURS), wire.near.getsockname())
        wire.drops("the sending node does not hold the source's subnet")
    wire.peer.sendto(packet(THEIRS, THEIRS), wire.near.getsockname())
    wire.drops("the destination is not in our subnet")
    assert wire.traffic.statistics().received == {}


def test_without_the_check_of_the_source_anybody_may_send_and_is_counted_with_the_others(wire):
    wire.loop.mandate = replace(wire.mandate, check_source=False)
    wire.traffic.know("127.0.0.1")
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(packet(THEIRS, OURS), wire.near.getsockname())
        assert wire.kernel.recv(2000)[12:] == packet(THEIRS, OURS)[12:]
    wire.peer.sendto(packet(THEIRS, OURS), wire.near.getsockname())
    assert wire.kernel.recv(2000)
    assert wire.traffic.statistics().received == {"127.0.0.1": Flow(1, 28), "": Flow(1, 28)}


def test_a_packet_too_long_for_the_path_goes_in_fragments(wire):
    wire.loop.mandate = wire.mandate_towards(Peer(wire.peer.getsockname(), 68))
    wire.kernel.send(packet(OURS, THEIRS, payload=bytes(range(100))))
    pieces = [wire.peer.recv(2000) for _ in range(3)]
    assert [len(piece) for piece in pieces] == [68, 68, 24]
    assert b"".join(piece[20:] for piece in pieces) == bytes(range(100))
