"""The loop with offloads, with a pair of sockets in place of the TUN device and one in place of the wire."""

import contextlib
import errno
import math
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath import sockets, vnet
from flanneld_py.datapath.coalesce import Run
from flanneld_py.datapath.core import Core, load
from flanneld_py.datapath.core.pump import MOST_PACED, Reason
from flanneld_py.datapath.forward import ForwardTable, Mandate, Peer
from flanneld_py.datapath.loop import BATCH
from flanneld_py.datapath.offload import TOO_MANY_WAIT, OffloadLoop
from flanneld_py.datapath.pacing import Pacer
from flanneld_py.datapath.pumped import PumpedLoop
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.vnet import VnetHeader
from flanneld_py.monitor.statistics import Flow
from flanneld_py.runtime import clock
from lab import wait
from tests.effort import examples
from tests.flanneld_py.test_packet import by_hand
from tests.flanneld_py.test_plain_loop import OUR_SUBNET, OVERLAY, THEIR_SUBNET, TUNNEL
from tests.flanneld_py.test_segment import ACK, PACKETS, PSH, Packet, lowered, received

HERE, THERE = bytes([10, 2, 35, 2]), bytes([10, 2, 52, 2])  # of test_segment's packets


def answering(packet: bytes) -> bytes:
    """The packet with source and destination exchanged, which leaves all sums as they are."""
    return packet[:12] + packet[16:20] + packet[12:16] + packet[20:]


class Wire:
    """Both ends of a loop: the kernel's side of its device, and its peer's socket.

    With the pump it has the kernel's clock, otherwise its own, unless it is to be timed.
    """

    def __init__(self, core: Core | None = None, *, pump: bool = False, timed: bool = False) -> None:
        self.kernel, self.device = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self.kernel, self.device):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.device.setblocking(False)
        self.near, self.peer = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for end in (self.near, self.peer):
            end.bind(("127.0.0.1", 0))
        self.near.setblocking(False)
        for end in (self.kernel, self.peer):
            end.settimeout(30)
        self.trains = sockets.receive_trains(self.near)
        self.traffic = Traffic()
        self.traffic.know("127.0.0.1")
        self.time = 1.0  # the kernel's timer, which knows the real time, has always come
        self.now = clock.now if pump or timed else lambda: self.time
        ends = self.device.fileno(), self.near, self.traffic
        self.loop: OffloadLoop
        if pump:
            assert core is not None
            self.loop = PumpedLoop(*ends, core)
        else:
            self.loop = OffloadLoop(*ends, core, now=self.now)
        if self.loop._raw is not None:  # answers are written to the device, and never leave this machine
            self.loop._raw.close()
            self.loop._raw = None
        self.pace(paced=False)

    def pace(self, *, paced: bool = True) -> None:
        """From now on the peer announces nothing; or it does."""
        table = ForwardTable.of({THEIR_SUBNET: Peer(self.peer.getsockname(), 1472, paced)}, OVERLAY)
        self.loop.mandate = Mandate(TUNNEL, OUR_SUBNET, table, until=self.now() + 100.0)

    def pause(self, seconds: float) -> None:
        """From now on a paced node gets this pause for each datagram."""
        self.loop._pacer = Pacer(seconds, seconds)
        if isinstance(self.loop, PumpedLoop):
            state = self.loop._pump._state
            state.each = state.single = int(seconds * 1e9)

    def close(self) -> None:
        self.loop.close()
        for end in (self.kernel, self.device, self.near, self.peer):
            end.close()

    def drops(self, reason: str, least: int = 1) -> None:
        def probe() -> bool | wait.NotYet:
            return self.traffic.dropped[reason] >= least or wait.NotYet(str(self.traffic.dropped))

        wait.until(probe, what=f"{least} packets dropped for {reason!r}", timeout=30, interval=0.01)


def compiled() -> Core:
    found = load()
    if found is None:
        pytest.skip("the core is not compiled here")
    return found


def in_python() -> Wire:
    return Wire()


def by_the_core() -> Wire:
    return Wire(compiled())


def by_the_pump() -> Wire:
    return Wire(compiled(), pump=True)


ALL = [in_python, by_the_core, by_the_pump]


@pytest.fixture(params=ALL)
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    made: Wire = request.param()
    made.loop.start()
    yield made
    made.close()


def test_a_super_packet_is_a_datagram_for_each_segment(wire):
    packet = Packet(os.urandom(60 * 1000), flags=ACK | PSH)
    wire.kernel.send(packet.vnet(1000).pack() + packet.partial())
    assert [wire.peer.recv(2000) for _ in range(60)] == [part.built() for part in packet.parts(1000)]


def test_packets_by_themselves_go_in_their_order_whatever_their_lengths(wire):
    sent = [
        Packet(bytes([number]) * size, ident=number) for number, size in enumerate((9, 9, 9, 5, 9, 40, 40))
    ]
    for packet in sent:
        wire.kernel.send(vnet.NOTHING + packet.built())
    assert [wire.peer.recv(2000) for _ in sent] == [lowered(packet.built()) for packet in sent]

    def probe() -> bool | wait.NotYet:
        seen = wire.traffic.statistics().sent
        size = sum(len(packet.built()) for packet in sent)
        return seen == {"127.0.0.1": Flow(len(sent), size)} or wait.NotYet(str(seen))

    wait.until(probe, what="all to be counted", timeout=30, interval=0.01)


def test_a_checksum_that_was_left_to_the_device_is_right_when_it_leaves(wire):
    packet = Packet(b"select 1")
    wire.kernel.send(VnetHeader(vnet.NEEDS_CSUM, 0, 0, 0, 20, 16).pack() + packet.partial())
    assert wire.peer.recv(2000) == lowered(packet.built())


def test_a_train_of_segments_is_one_write_to_the_device(wire):
    if not wire.trains:
        pytest.skip("this kernel has no UDP_GRO")
    parts = [answering(part.built()) for part in Packet(os.urandom(20 * 1000)).parts(1000)]
    told = [(socket.IPPROTO_UDP, 103, (len(parts[0])).to_bytes(2, "little"))]  # UDP_SEGMENT of linux/udp.h
    wire.peer.sendmsg([b"".join(parts)], told, 0, wire.near.getsockname())
    written = wire.kernel.recv(1 << 17)
    assert VnetHeader.of(written) == VnetHeader(vnet.NEEDS_CSUM, vnet.TCPV4, 52, 1000, 20, 16)
    assert written[vnet.SIZE + 52 :] == b"".join(part[52:] for part in parts)
    assert by_hand(written[vnet.SIZE : vnet.SIZE + 20]) == 0


def test_a_datagram_is_one_packet_for_the_kernel(wire):
    packet = answering(Packet(b"select 1").built(check=1))
    wire.peer.sendto(packet, wire.near.getsockname())
    # The checksum was wrong and still is: the kernel is to see that.
    assert wire.kernel.recv(2000) == vnet.NOTHING + lowered(packet)


def test_datagrams_that_are_no_packets_of_the_peers_are_dropped_by_their_reasons(wire):
    wire.peer.sendto(b"", wire.near.getsockname())
    wire.peer.sendto(b"x", wire.near.getsockname())
    wire.drops("shorter than an IPv4 header", 2)
    wire.peer.sendto(Packet(b"spoofed").built(), wire.near.getsockname())
    wire.drops("the sending node does not hold the source's subnet")
    wire.peer.sendto(
        THERE.join([answering(Packet(b"x").built())[:16], b""]) + bytes(30), wire.near.getsockname()
    )
    wire.drops("total length differs from the packet's")


def test_a_super_packet_of_a_kind_that_was_not_asked_for_is_dropped(wire):
    packet = Packet(bytes(1000))
    wire.kernel.send(packet.vnet(300)._replace(gso_type=vnet.UDP_L4).pack() + packet.partial())
    wire.drops("a super-packet of a kind that was not asked for")


def test_where_the_kernel_cannot_send_several_at_once_each_is_sent_by_itself(monkeypatch, caplog):
    wire = Wire()
    real, refused = wire.near, list[object]()

    class Refusing:
        """A socket whose way out cannot segment: EIO, as of udp_send_skb in net/ipv4/udp.c."""

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def sendmsg(self, parts: list[memoryview], told: list[object], flags: int, address: object) -> int:
            if told:
                refused.append(address)
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real.sendmsg(parts, told, flags, address)  # type: ignore[arg-type]

    monkeypatch.setattr(wire.loop, "_socket", Refusing())
    wire.loop.start()
    packet = Packet(os.urandom(5000))
    for _ in range(2):
        wire.kernel.send(packet.vnet(1000).pack() + packet.partial())
    wanted = [part.built() for part in packet.parts(1000)]
    assert [wire.peer.recv(2000) for _ in range(10)] == wanted * 2
    assert refused == [wire.peer.getsockname()]  # tried once, and told once
    assert caplog.text.count("several datagrams at once (UDP_SEGMENT): Input/output error") == 1
    wire.close()


def test_a_defect_ends_the_loop_and_is_told_so_that_the_daemon_begins_another(monkeypatch):
    wire = Wire()
    monkeypatch.setattr("flanneld_py.datapath.offload.route", lambda *_: 1 / 0)
    wire.loop.start()
    wire.kernel.send(vnet.NOTHING + Packet(b"x").built())

    def probe() -> OSError | wait.NotYet:
        return wire.loop.failure or wait.NotYet("no failure")

    failure = wait.until(probe, what="the loop to fail", timeout=30, interval=0.01)
    assert failure.strerror == "unexpected ZeroDivisionError: division by zero"
    wire.close()


@pytest.mark.parametrize("gso_size", [1448, 65000, 65535])
def test_a_segment_size_that_no_segment_has_is_that_of_a_single_packet(wire, gso_size):
    packet = Packet(b"select 1")
    wire.kernel.send(packet.vnet(gso_size).pack() + packet.partial())
    assert wire.peer.recv(2000) == lowered(packet.built())


@pytest.mark.parametrize("wire", [in_python, by_the_core], indirect=True)
def test_towards_a_peer_that_announces_nothing_a_train_waits_for_the_one_before(wire):
    wire.pace()
    packet = Packet(os.urandom(60 * 1000), flags=ACK | PSH)
    wire.kernel.send(packet.vnet(1000).pack() + packet.partial())
    wanted = [part.built() for part in packet.parts(1000)]
    assert [wire.peer.recv(2000) for _ in range(60)] == wanted
    wire.kernel.send(packet.vnet(1000).pack() + packet.partial())
    wire.peer.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.peer.recv(2000)
    wire.peer.settimeout(30)
    wire.time += 1
    assert [wire.peer.recv(2000) for _ in range(60)] == wanted


@pytest.mark.parametrize("wire", [in_python, by_the_core], indirect=True)
def test_what_waits_when_the_lease_ends_is_dropped(wire):
    wire.pace()
    for payload in (b"first", b"second"):
        wire.kernel.send(vnet.NOTHING + Packet(payload).built())
        wire.kernel.send(vnet.NOTHING + Packet(payload).built())
    assert wire.peer.recv(2000) == lowered(Packet(b"first").built())
    wire.loop.mandate = None
    wire.drops("no lease", 2)


def test_without_a_lease_nothing_goes_either_way(wire):
    wire.loop.mandate = None
    wire.kernel.send(vnet.NOTHING + Packet(b"x").built())
    wire.drops("no lease")
    wire.peer.sendto(answering(Packet(b"x").built()), wire.near.getsockname())
    wire.drops("no lease", 2)


# Who loses a train, or what stands for several packets, has lost them all.


def in_turn(wire: Wire, reason: str, number: int) -> None:
    """These packets were dropped for this reason, no more and no fewer, and what is sent next is not."""
    wire.drops(reason, number)
    wire.kernel.send(vnet.NOTHING + Packet(b"next").built())
    assert wire.peer.recv(2000) == lowered(Packet(b"next").built())
    assert wire.traffic.dropped == {reason: number}


def test_all_packets_of_a_train_that_cannot_be_sent_are_counted(wire):
    # Broadcast is not permitted to such a socket: EACCES.
    peers = {
        THEIR_SUBNET: Peer(wire.peer.getsockname(), 1472),
        IPv4Network("10.2.99.0/24"): Peer(("255.255.255.255", 8285), 1472),
    }
    wire.loop.mandate = Mandate(TUNNEL, OUR_SUBNET, ForwardTable.of(peers, OVERLAY), until=wire.now() + 100.0)
    packet = Packet(os.urandom(10 * 1000))
    whole = bytearray(packet.partial())
    whole[16:20] = bytes([10, 2, 99, 2])
    wire.kernel.send(packet.vnet(1000).pack() + whole)
    in_turn(wire, "sending to 255.255.255.255: Permission denied", 10)


def test_all_packets_that_the_device_refuses_together_are_counted(wire):
    wire.device.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 0)  # the least of all: socket(7), 2048 bytes
    packet = Packet(os.urandom(5 * 1000))
    train = [answering(part.built()) for part in packet.parts(1000)]
    segment = [(socket.IPPROTO_UDP, 103, struct.pack("=H", len(train[0])))]  # UDP_SEGMENT of linux/udp.h
    wire.peer.sendmsg(train, segment, 0, wire.near.getsockname())
    in_turn(wire, "writing to the device: Message too long", 5)


def test_all_packets_of_a_super_packet_that_does_not_go_on_are_counted(wire):
    mandate, wire.loop.mandate = wire.loop.mandate, None
    packet = Packet(os.urandom(10 * 1000))
    wire.kernel.send(packet.vnet(1000).pack() + packet.partial())
    wire.drops("no lease", 10)
    wire.loop.mandate = mandate
    # What comes while the same batch goes on is dropped with it.
    too_early = 0
    while not handed_on(wire, dropped=10 + too_early):
        too_early += 1
    assert wire.traffic.dropped == {"no lease": 10 + too_early}


def handed_on(wire: Wire, *, dropped: int) -> bool:
    """Whether a packet that is sent arrives, where so many were dropped before, or is dropped as well."""
    wire.kernel.send(vnet.NOTHING + Packet(b"next").built())

    def probe() -> str | wait.NotYet:
        if select.select([wire.peer], [], [], 0)[0]:
            return "arrived"
        return "dropped" if wire.traffic.dropped["no lease"] > dropped else wait.NotYet("neither")

    if wait.until(probe, what="a packet to arrive or to be dropped", timeout=30, interval=0.01) == "dropped":
        return False
    assert wire.peer.recv(2000) == lowered(Packet(b"next").built())
    return True


# The pump: what was decided once is not decided again, until something has changed.


@pytest.fixture
def pumped() -> Iterator[Wire]:
    made = by_the_pump()
    made.loop.start()
    yield made
    made.close()


def decisions(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the loop decides about in Python from now on."""
    seen = list[str]()
    for name in ("_take", "_deliver"):
        real = getattr(wire.loop, name)

        def told(*given: object, name: str = name, real: Callable[..., None] = real) -> None:
            seen.append(name)
            real(*given)

        monkeypatch.setattr(wire.loop, name, told)
    return seen


def there_and_back(wire: Wire, number: int) -> None:
    sent, back = Packet(b"there", ident=number).built(), answering(Packet(b"back", ident=number).built())
    wire.kernel.send(vnet.NOTHING + sent)
    assert wire.peer.recv(2000) == lowered(sent)
    wire.peer.sendto(back, wire.near.getsockname())
    assert wire.kernel.recv(2000) == vnet.NOTHING + lowered(back)


def carried(wire: Wire, packets: int) -> None:
    """So many packets are counted in each direction."""

    def probe() -> bool | wait.NotYet:
        seen = wire.traffic.statistics()
        counted = [flow.packets for flows in (seen.sent, seen.received) for flow in flows.values()]
        return counted == [packets, packets] or wait.NotYet(str(seen))

    wait.until(probe, what=f"{packets} packets to be counted", timeout=30, interval=0.01)


def test_only_the_first_packet_of_each_direction_is_decided_about_in_python(pumped, monkeypatch):
    seen = decisions(pumped, monkeypatch)
    for number in range(20):
        there_and_back(pumped, number)
    assert seen == ["_take", "_deliver"]
    carried(pumped, 20)


def test_after_a_change_of_the_table_or_of_the_mandate_all_is_decided_anew(pumped, monkeypatch):
    seen = decisions(pumped, monkeypatch)
    there_and_back(pumped, 1)
    mandate = pumped.loop.mandate
    assert mandate is not None
    mandate.table.put(IPv4Network("10.2.77.0/24"), Peer(pumped.peer.getsockname(), 1472))
    there_and_back(pumped, 2)
    pumped.loop.mandate = replace(mandate)
    there_and_back(pumped, 3)
    # Either direction alone may meet the change first, and then is served in Python entirely.
    assert seen.count("_take") == seen.count("_deliver") == 3


def test_when_the_peer_has_gone_its_packets_are_neither_sent_nor_accepted_any_more(pumped):
    there_and_back(pumped, 1)
    mandate = pumped.loop.mandate
    assert mandate is not None
    mandate.table.remove(THEIR_SUBNET)
    pumped.peer.sendto(answering(Packet(b"spoofed").built()), pumped.near.getsockname())
    pumped.drops("the sending node does not hold the source's subnet")
    pumped.kernel.send(vnet.NOTHING + Packet(b"x").built())
    pumped.drops("unknown destination")


def test_what_the_pump_knows_of_one_source_does_not_admit_others(pumped):
    there_and_back(pumped, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        other.sendto(answering(Packet(b"spoofed").built()), pumped.near.getsockname())
    pumped.drops("the sending node does not hold the source's subnet")
    back = answering(Packet(b"elsewhere").built())
    pumped.peer.sendto(back[:16] + bytes([10, 2, 36, 2]) + back[20:], pumped.near.getsockname())
    pumped.drops("the destination is not in our subnet")
    pumped.peer.sendto(back[:16] + bytes([10, 2, 35, 255]) + back[20:], pumped.near.getsockname())
    pumped.drops("the destination is a broadcast or multicast address")


def test_a_ttl_that_ends_here_is_python_s(pumped):
    there_and_back(pumped, 1)
    pumped.kernel.send(vnet.NOTHING + Packet(b"x", ttl=1).built())
    pumped.drops("TTL reached zero")
    pumped.peer.sendto(answering(Packet(b"x", ttl=1).built()), pumped.near.getsockname())
    pumped.drops("TTL reached zero", 2)


def test_packets_without_end_that_are_python_s_leave_the_network_its_turn(pumped, monkeypatch):
    there_and_back(pumped, 1)
    back, another = answering(Packet(b"back").built()), Packet(b"x", options=b"\x01" * 4).built()
    taken, take, most = list[object](), pumped.loop._take, 10 * BATCH

    def taking(*given: object) -> None:
        if not taken:
            pumped.peer.sendto(back, pumped.near.getsockname())
        taken.append(given)
        take(*given)
        written, _, _ = select.select([pumped.kernel], [], [], 0)
        if not written and len(taken) < most:
            pumped.kernel.send(vnet.NOTHING + another)

    monkeypatch.setattr(pumped.loop, "_take", taking)
    pumped.kernel.send(vnet.NOTHING + another)
    assert pumped.kernel.recv(2000) == vnet.NOTHING + lowered(back)
    assert len(taken) < most


def tiny(options: bytes = b"") -> bytes:
    """A super-packet of 7500 segments, for the device."""
    packet = Packet(bytes(60_000), options=options)
    return packet.vnet(8).pack() + packet.partial()


def test_super_packets_of_tiny_segments_leave_the_network_its_turn(wire, monkeypatch):
    back, taken, take, most = answering(Packet(b"back").built()), list[object](), wire.loop._take, 10

    def taking(*given: object) -> None:
        if not taken:
            wire.peer.sendto(back, wire.near.getsockname())
        taken.append(given)
        take(*given)
        written, _, _ = select.select([wire.kernel], [], [], 0)
        if not written and len(taken) < most:
            wire.kernel.send(tiny(b"\x01" * 4))  # with options they are Python's

    monkeypatch.setattr(wire.loop, "_take", taking)
    wire.kernel.send(tiny(b"\x01" * 4))
    assert wire.kernel.recv(2000) == vnet.NOTHING + lowered(back)
    assert len(taken) < most


def test_the_pump_too_gives_the_network_its_turn_between_super_packets_of_tiny_segments():
    wire = by_the_pump()
    assert isinstance(wire.loop, PumpedLoop)
    pump = wire.loop._pump
    pump.allow(wire.loop.mandate, wire.loop._changes[0])
    pump.learn_destination(int.from_bytes(THERE), Peer(wire.peer.getsockname(), 1472))
    for data in (tiny(), vnet.NOTHING + Packet(b"x", ttl=1).built()):
        wire.kernel.send(data)
    wire.peer.sendto(answering(Packet(b"back").built()), wire.near.getsockname())
    assert pump.carry() is Reason.ARRIVAL
    assert pump.carry() is Reason.PACKET
    wire.close()


def test_a_timer_that_is_always_due_leaves_both_sides_their_turn(pumped, monkeypatch):
    there_and_back(pumped, 0)
    monkeypatch.setattr(pumped.loop, "_when_due", lambda _: None)  # which would consume the expiry
    pumped.loop._timer.set(0.0)
    for number in range(1, 3):
        there_and_back(pumped, number)


def test_an_expired_lease_ends_what_the_pump_carries(pumped):
    there_and_back(pumped, 1)
    mandate = pumped.loop.mandate
    assert mandate is not None
    pumped.loop.mandate = replace(mandate, until=clock.now())
    pumped.kernel.send(vnet.NOTHING + Packet(b"x").built())
    pumped.drops("no lease")
    pumped.peer.sendto(answering(Packet(b"x").built()), pumped.near.getsockname())
    pumped.drops("no lease", 2)


def test_under_a_lease_that_never_expires_the_pump_carries_on(pumped, monkeypatch):
    mandate = pumped.loop.mandate
    assert mandate is not None
    pumped.loop.mandate = replace(mandate, until=math.inf)  # a reservation's, as of claim.py
    seen = decisions(pumped, monkeypatch)
    for number in range(5):
        there_and_back(pumped, number)
    assert seen == ["_take", "_deliver"]


def test_super_packets_and_small_ones_to_several_peers_keep_their_order(pumped):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
        second.bind(("127.0.0.1", 0))
        second.settimeout(30)
        peers = {
            THEIR_SUBNET: Peer(pumped.peer.getsockname(), 1472),
            IPv4Network("10.2.99.0/24"): Peer(second.getsockname(), 1472),
        }
        pumped.loop.mandate = Mandate(
            TUNNEL, OUR_SUBNET, ForwardTable.of(peers, OVERLAY), until=pumped.now() + 100.0
        )
        for number in range(8):
            large = Packet(os.urandom(46 * 1400), ident=number)
            small = [Packet(bytes([number]) * size, ident=number) for size in (9, 9, 5, 40)]
            for destination, sink in ((THERE, pumped.peer), (bytes([10, 2, 99, 2]), second)):
                for packet in small:
                    pumped.kernel.send(vnet.NOTHING + packet.built()[:16] + destination + packet.built()[20:])
                pumped.kernel.send(
                    large.vnet(1400).pack() + large.partial()[:16] + destination + large.partial()[20:]
                )
                found = [sink.recv(2000) for _ in range(4 + 46)]
                assert [each[20:] for each in found] == [part.built()[20:] for part in small] + [
                    each[20:] for each in found[4:]
                ]
                assert b"".join(each[52:] for each in found[4:]) == large.payload
                assert {each[16:20] for each in found} == {destination}


def test_a_datagram_that_cannot_be_sent_is_counted_each_time(pumped):
    # Broadcast is not permitted to such a socket: EACCES. The first packet is Python's, the rest the pump's.
    peers = {THEIR_SUBNET: Peer(("255.255.255.255", 8285), 1472)}
    pumped.loop.mandate = Mandate(
        TUNNEL, OUR_SUBNET, ForwardTable.of(peers, OVERLAY), until=pumped.now() + 100.0
    )
    for number in range(5):
        pumped.kernel.send(vnet.NOTHING + Packet(b"x", ident=number).built())
    pumped.drops("sending to 255.255.255.255: Permission denied", 5)
    assert pumped.traffic.dropped == {"sending to 255.255.255.255: Permission denied": 5}


def test_more_peers_than_the_pump_has_room_for_are_all_reached(pumped):
    address, port = pumped.peer.getsockname()
    peers = {
        IPv4Network((0x0A020000 + (number << 4), 28)): Peer((address, port), 600 + number)
        for number in range(16, 316)
    }
    pumped.loop.mandate = Mandate(
        TUNNEL, OUR_SUBNET, ForwardTable.of(peers, OVERLAY), until=pumped.now() + 100.0
    )
    whole = Packet(b"x").built()
    for subnet in [*peers, *peers]:
        destination = subnet[2].packed
        pumped.kernel.send(vnet.NOTHING + whole[:16] + destination + whole[20:])
        assert pumped.peer.recv(2000)[16:20] == destination

    def probe() -> bool | wait.NotYet:
        seen = pumped.traffic.statistics().sent
        return seen == {"127.0.0.1": Flow(600, 600 * len(whole))} or wait.NotYet(str(seen))

    wait.until(probe, what="all to be counted", timeout=30, interval=0.01)


def test_a_paced_peer_s_packets_are_the_pump_s_though_they_have_to_wait(pumped, monkeypatch):
    pumped.pause(0.01)
    pumped.pace()
    seen = decisions(pumped, monkeypatch)
    there_and_back(pumped, 0)
    seen.clear()
    sent = [Packet(b"x" * (40 - number), ident=number).built() for number in range(20)]
    for packet in sent:
        pumped.kernel.send(vnet.NOTHING + packet)
    assert [pumped.peer.recv(2000) for _ in sent] == [lowered(packet) for packet in sent]
    assert seen == []
    carried_to_peer(pumped, 21)


def test_a_flood_to_a_paced_node_is_the_pump_s_and_keeps_nobody_waiting(pumped, monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
        second.bind(("127.0.0.2", 0))
        second.settimeout(30)
        peers = {
            THEIR_SUBNET: Peer(pumped.peer.getsockname(), 1472, paced=True),
            IPv4Network("10.2.99.0/24"): Peer(second.getsockname(), 1472, paced=True),
        }
        pumped.pause(1000.0)
        pumped.loop.mandate = Mandate(
            TUNNEL, OUR_SUBNET, ForwardTable.of(peers, OVERLAY), until=pumped.now() + 100.0
        )
        seen = decisions(pumped, monkeypatch)
        there_and_back(pumped, 0)
        seen.clear()
        packet = Packet(b"x").built()
        for _ in range(1000):
            pumped.kernel.send(vnet.NOTHING + packet)
        other = packet[:16] + bytes([10, 2, 99, 2]) + packet[20:]
        pumped.kernel.send(vnet.NOTHING + other)
        assert second.recv(2000)[16:] == other[16:]
        assert seen == ["_take"]  # the other's first
        pumped.drops(TOO_MANY_WAIT, 1000 - 512)
        assert pumped.traffic.dropped == {TOO_MANY_WAIT: 1000 - 512}


def carried_to_peer(wire: Wire, packets: int) -> None:
    def probe() -> bool | wait.NotYet:
        seen = wire.traffic.statistics().sent
        return [flow.packets for flow in seen.values()] == [packets] or wait.NotYet(str(seen))

    wait.until(probe, what=f"{packets} packets to be counted", timeout=30, interval=0.01)


def test_more_paced_nodes_than_the_pump_has_queues_for_are_all_reached(pumped):
    nodes = range(1, MOST_PACED + 7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as everybody:
        everybody.bind(("", 0))
        everybody.settimeout(30)
        port = everybody.getsockname()[1]
        peers = {
            IPv4Network(f"10.2.{100 + number}.0/24"): Peer((f"127.0.1.{number}", port), 1472, paced=True)
            for number in nodes
        }
        pumped.loop.mandate = Mandate(
            TUNNEL, OUR_SUBNET, ForwardTable.of(peers, OVERLAY), until=pumped.now() + 100.0
        )
        whole = Packet(b"x").built()
        for destination in [subnet[2].packed for subnet in peers] * 2:
            for _ in range(2):  # the second has to wait
                pumped.kernel.send(vnet.NOTHING + whole[:16] + destination + whole[20:])
            assert [everybody.recv(2000)[16:20] for _ in range(2)] == [destination] * 2


def in_time(wire: Wire, number: int) -> list[bytes]:
    """So many datagrams, while time passes for a loop that has none of its own."""
    found = list[bytes]()
    for _ in range(number):
        wire.time += 1
        found.append(wire.peer.recv(2000))
    return found


def test_a_paced_node_with_two_subnets_is_paced_as_one(wire):
    peer = wire.peer.getsockname()
    peers = {THEIR_SUBNET: Peer(peer, 1400, True), IPv4Network("10.2.99.0/24"): Peer(peer, 1472, True)}
    wire.pause(0.001)
    wire.loop.mandate = Mandate(TUNNEL, OUR_SUBNET, ForwardTable.of(peers, OVERLAY), until=wire.now() + 100.0)
    whole, destinations = Packet(b"x").built(), (THERE, bytes([10, 2, 99, 2]))
    for destination in destinations * 10:
        wire.kernel.send(vnet.NOTHING + whole[:16] + destination + whole[20:])
    assert [each[16:20] for each in in_time(wire, 20)] == [*destinations] * 10


def test_of_too_many_for_a_paced_node_the_last_are_dropped(wire):
    wire.pause(1000.0)
    wire.pace()
    wire.kernel.send(tiny())
    wire.drops(TOO_MANY_WAIT, 7500 - 512)  # eight calls' worth: as many as are needed for 500
    assert wire.traffic.dropped == {TOO_MANY_WAIT: 7500 - 512}
    assert [len(wire.peer.recv(2000)) for _ in range(64)] == [60] * 64
    wire.peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        wire.peer.recv(2000)


def test_what_waits_for_a_paced_node_when_the_lease_ends_is_dropped(wire):
    wire.pause(0.01)
    wire.pace()
    wire.kernel.send(tiny())
    wire.drops(TOO_MANY_WAIT)
    wire.loop.mandate = None
    wire.peer.setblocking(False)
    sent = list[bytes]()

    def probe() -> bool | wait.NotYet:
        with contextlib.suppress(BlockingIOError):
            while True:
                sent.append(wire.peer.recv(2000))
        dropped = wire.traffic.dropped
        all_are = len(sent) + dropped[TOO_MANY_WAIT] + dropped["no lease"] == 7500
        return all_are or wait.NotYet(f"{len(sent)} sent, {dropped}")

    wait.until(probe, what="all packets to be sent or dropped", timeout=30, interval=0.01)
    assert wire.traffic.dropped["no lease"] > 0


def test_what_waits_for_a_paced_node_when_the_lease_is_renewed_is_sent(wire):
    wire.pause(0.002)
    wire.pace()
    wire.kernel.send(tiny())
    wire.drops(TOO_MANY_WAIT)
    assert wire.loop.mandate is not None
    wire.loop.mandate = replace(wire.loop.mandate)
    for _ in range(8):
        assert [len(wire.peer.recv(2000)) for _ in range(64)] == [60] * 64
        wire.time += 1
    assert wire.traffic.dropped == {TOO_MANY_WAIT: 7500 - 512}


def test_a_packet_in_fragments_waits_for_its_turn(wire):
    wire.pause(0.001)
    wire.pace()
    packets = [Packet(b"x" * size, fragment=0, ident=size) for size in (9, 2000, 10)]
    for packet in packets * 3:
        wire.kernel.send(vnet.NOTHING + packet.built())
    assert [int.from_bytes(each[4:6]) for each in in_time(wire, 4 * 3)] == [9, 2000, 2000, 10] * 3


# Whatever comes, the pump does what Python does.

LAST = Packet(b"the last one", ident=77)
SEGMENT = 103  # UDP_SEGMENT of linux/udp.h


def outcome(
    wire: Wire, outbound: Sequence[bytes], inbound: Sequence[tuple[bytes, int]]
) -> tuple[list[bytes], list[bytes], dict[str, int]]:
    """What was sent to the peer, what was written to the device, and what was dropped for which reasons."""
    wire.loop.start()
    try:
        for data in (*outbound, vnet.NOTHING + LAST.built()):
            wire.kernel.send(data)
        sent = list(iter(lambda: wire.peer.recv(1 << 17), lowered(LAST.built())))
        for data, size in inbound:
            told = [(socket.IPPROTO_UDP, SEGMENT, struct.pack("=H", size))] if 0 < size < len(data) else []
            wire.peer.sendmsg([data], told, 0, wire.near.getsockname())
        wire.peer.sendto(answering(LAST.built()), wire.near.getsockname())
        written = list[bytes]()
        while lowered(answering(LAST.built())) not in written:
            found = wire.kernel.recv(1 << 17)
            packet = memoryview(found)[vnet.SIZE :]
            written += received(Run(packet, found[: vnet.SIZE], [packet], 1, len(packet)))
        return sent, written, dict(wire.traffic.dropped)
    finally:
        wire.close()


def test_what_is_left_to_python_is_whole_when_more_follows_at_once():
    usual, options = Packet(b"usual"), Packet(b"left", options=b"\x01" * 40)
    packets = [vnet.NOTHING + packet.built() for packet in (usual, options, usual, options, options, usual)]
    sent, _, _ = outcome(by_the_pump(), packets, [])
    assert sent == [lowered(packet[vnet.SIZE :]) for packet in packets]


def altered(data: bytes, changes: Sequence[tuple[int, int]]) -> bytes:
    """The data with some bytes changed, mostly in the headers."""
    changed = bytearray(data)
    for place, by in changes:
        changed[place % min(len(data), 90)] ^= by
    return bytes(changed)


CHANGES = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 255)), max_size=2)
SIZES = st.integers(200, 1400)


@examples(12)
@given(
    st.lists(st.tuples(PACKETS, st.booleans(), SIZES, CHANGES), max_size=6),
    st.lists(st.tuples(PACKETS, st.booleans(), SIZES, CHANGES), max_size=6),
    st.booleans(),
)
def test_the_pump_does_what_python_does(
    outbound: list[tuple[Packet, bool, int, list[tuple[int, int]]]],
    inbound: list[tuple[Packet, bool, int, list[tuple[int, int]]]],
    paced: bool,
) -> None:
    first = Packet(b"the first one")  # after which there is a decision
    there, back = [vnet.NOTHING + first.built()], [(answering(first.built()), 0)]
    # Less than a queue has room for, if the peer is paced: what finds it full depends on the time.
    for packet, super_packet, size, changes in outbound * (1 if paced else 2):
        short = replace(packet, payload=packet.payload[:1200])
        header, whole = packet.vnet(size).pack(), packet.partial()
        if not super_packet:
            header, whole = vnet.NOTHING, short.built()
        # Segments of a byte or two would be more datagrams than a socket takes: the header stays as it is.
        there.append(header + altered(whole, changes))
    for packet, train, size, changes in inbound * 2:
        parts = [part.built() for part in packet.parts(size)] if train else [packet.built()[:1400]]
        whole = b"".join(map(answering, parts[:40]))
        back.append((altered(whole, changes), len(parts[0])))
    pumped, model = by_the_pump(), Wire(timed=True)
    for wire in (pumped, model):
        wire.pace(paced=paced)
    assert outcome(pumped, there, back) == outcome(model, there, back)
