"""The packet loop with kernel offloads: up to 64 KB per system call, in both directions.

The device exchanges TSO and USO super-packets (see `vnet`), the socket trains of datagrams (UDP_SEGMENT and
UDP_GRO of linux/udp.h). Splitting and joining them is pure: `segment` and `coalesce`, or, if it is there, the
compiled `core`. That also has a pump, which carries packets that need no decision: see `pumped`.
"""

import errno
import logging
import os
import socket
from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from flanneld_py.datapath import vnet
from flanneld_py.datapath.coalesce import Run, runs
from flanneld_py.datapath.core import Core
from flanneld_py.datapath.forward import NO_LEASE, Drop, Mandate, Peer, Reply, admit, narrowed, route
from flanneld_py.datapath.loop import BATCH, Loop
from flanneld_py.datapath.pacing import Pacer
from flanneld_py.datapath.packet import fragments
from flanneld_py.datapath.segment import Unsound, how_many, longest, segments
from flanneld_py.datapath.sockets import IP_RECVFRAGSIZE, UDP_GRO, pair_cost
from flanneld_py.datapath.timer import Timer
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.trains import MOST_SEGMENTS, Train
from flanneld_py.datapath.vnet import VnetHeader
from flanneld_py.runtime import clock

__all__ = ["Arrival", "OffloadLoop"]

logger = logging.getLogger(__name__)

UDP_SEGMENT: Final = 103  # linux/udp.h
ROOM: Final = 1 << 16  # bytes: the maximum length of a packet and of a train
BATCH_DATAGRAMS: Final = BATCH * MOST_SEGMENTS
"""Datagrams to send after which the other side gets its turn, too.

Usual super-packets are fewer; one of a container that has it segmented byte by byte is 65,000.
"""

AT_ONCE: Final = 8
"""Maximum number of trains to process together: half of the cost of processing is fixed."""

CALLS: Final = 4.5
"""Time that flannel's proxy needs per datagram, in units of `pair_cost`.

That covers two system calls and what they entail. Where 0.5.5 was measured this is 10 microseconds; at 9 it
begins to lose datagrams, at 12 it sits idle.
"""

CALLS_SINGLE: Final = 5.5
"""The same for packets that arrive singly: the programs that send and receive them need CPU time as well.

An overloaded proxy spends its time on datagrams that it then loses. With two processors on each machine 0.5.5
accepted 45,000 of 100,000 datagrams a second and 65,000 of 67,000. With two for both machines 5.5 makes it
receive 1.3 - 1.5 times as many as from another 0.5.5, and 7.5 three quarters as many (ADR 8).
"""

SLOWEST: Final = 100e-6
"""Upper limit in seconds per datagram, in case this machine was slow while `pair_cost` was measured."""

TOO_MANY_WAIT: Final = "queue full for a node without an announcement"

_INT: Final = Struct("@i")
_SIZE: Final = Struct("@H")
_ANCILLARY: Final = 2 * socket.CMSG_SPACE(_INT.size)

CANNOT_SEGMENT: Final = frozenset({errno.EIO, errno.EMSGSIZE, errno.EINVAL, errno.EOPNOTSUPP})
"""Errors of a call with UDP_SEGMENT where segmentation is not possible: udp_send_skb of net/ipv4/udp.c."""


class OffloadLoop(Loop):
    """A `Loop` for a device with virtio headers; the socket may have UDP_GRO. `core` is its own, if given."""

    def __init__(
        self,
        tun: int,
        sock: socket.socket,
        traffic: Traffic,
        core: Core | None = None,
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._timer = Timer()
        cost = pair_cost()
        self._pacer = Pacer(*(min(SLOWEST, calls * cost) for calls in (CALLS, CALLS_SINGLE)))
        self._core = core
        self._segments = segments if core is None else core.segments
        self._runs = runs if core is None else core.runs
        super().__init__(tun, sock, traffic, now=now)
        self._header = bytearray(vnet.SIZE)
        self._packet = memoryview(bytearray(ROOM))
        self._trains = memoryview(bytearray(AT_ONCE * ROOM))
        self._singly: set[str] = set()
        self._train: Train | None = None
        self._when_ready[self._timer.fileno()] = self._when_due

    def close(self) -> None:
        """See `Loop`."""
        super().close()
        self._timer.close()

    def _from_kernel(self, mandate: Mandate | None) -> None:
        self._reuse()
        reads = made = 0
        while reads < BATCH and made < BATCH_DATAGRAMS:
            reads += 1
            try:
                size = os.readv(self._tun, [self._header, self._packet]) - vnet.SIZE
            except BlockingIOError:
                break
            except OSError as error:
                # EBADFD: the device was deleted. Any other error would repeat at once and for ever.
                self.failure = error
                break
            header, packet = VnetHeader.of(self._header), self._packet[: max(0, size)]
            if mandate is None:
                self._refuse(NO_LEASE, how_many(header, packet))
                continue
            made += how_many(header, packet)
            self._take(header, packet, mandate)
        self._flush()

    def _reuse(self) -> None:
        """Let the core use its memory anew if no segments wait there."""
        if self._core is not None and self._train is None and self._pacer.next() is None:
            self._core.forget()

    def _take(self, header: VnetHeader, packet: memoryview, mandate: Mandate) -> None:
        """Send a packet, or all segments of a super-packet, to its peer."""
        verdict = route(packet, mandate, longest(header, packet))
        if isinstance(verdict, (Reply, Drop)):
            self._refuse(verdict, how_many(header, packet))
            return
        try:
            data, size = self._segments(header, packet)
        except Unsound as error:
            self._dropped[str(error)] += 1
            return
        if isinstance(verdict, Peer):
            self._goes_to(verdict, packet)
            self._wait(verdict, data, size)
            return
        for at in range(0, len(data), size):
            for piece in fragments(data[at : at + size], verdict.peer.mtu):
                self._wait(verdict.peer, memoryview(piece), len(piece))

    def _wait(self, peer: Peer, data: memoryview, size: int) -> None:
        """Queue packets of this size (the last may be shorter), to be sent in as few trains as possible.

        For example, two super-packets of 46 segments each are sent as 44, 44 and 4.
        """
        if peer.paced:
            if lost := self._pacer.put(peer, data, size):
                self._dropped[TOO_MANY_WAIT] += lost
            self._send_due()
            return
        if self._train is not None:
            data = self._train.fill(peer, data, size)
        while data:
            self._flush()
            self._train = Train(peer, size)
            data = self._train.fill(peer, data, size)

    def _flush(self) -> None:
        train, self._train = self._train, None
        if train is not None:
            self._send(train)

    def _when_due(self, mandate: Mandate | None) -> None:
        self._timer.clear()
        if mandate is None:
            self._dropped[NO_LEASE.reason] += self._pacer.clear()
        self._send_due()

    def _send_due(self) -> None:
        """Send the trains that are due."""
        now = self._now()
        while (train := self._pacer.take(now)) is not None:
            self._send(train)
        self._timer.set(self._pacer.next())

    def _send(self, train: Train) -> None:
        peer, packets = train.peer, train.packets
        if packets > 1 and peer.node in self._singly:
            whole = memoryview(b"".join(train.parts))
            for at in range(0, len(whole), train.size):
                one = Train(peer, train.size)
                one.fill(peer, whole[at : at + train.size], train.size)
                self._send(one)
            return
        control = [(socket.IPPROTO_UDP, UDP_SEGMENT, _SIZE.pack(train.size))] if packets > 1 else []
        try:
            self._socket.sendmsg(train.parts, control, 0, peer.endpoint)
        except OSError as error:  # a full buffer, no route or a firewall: lost, as on any network
            if control and error.errno in CANNOT_SEGMENT:
                self._send_singly(peer, error)
                self._send(train)
            else:
                self._count(f"sending to {peer.node}", error, packets)
        else:
            self._traffic.sent.add(peer.node, train.bytes, packets)

    def _send_singly(self, peer: Peer, error: OSError) -> None:
        """Send this peer one datagram per call from now on; paths to other peers may support segmentation."""
        self._singly.add(peer.node)
        self._goes_singly()
        logger.warning(
            "Sending %s several datagrams at once (UDP_SEGMENT): %s; from now on one by one, which is slower",
            peer.node,
            error.strerror,
        )

    def _from_network(self, mandate: Mandate | None) -> None:
        for _ in range(BATCH // AT_ONCE):
            arrivals, more = self._receive()
            for arrival in arrivals:
                if mandate is None:
                    self._refuse(NO_LEASE, arrival.packets)
                    continue
                self._join(arrival, mandate)
            if not more:
                return

    def _join(self, arrival: "Arrival", mandate: Mandate) -> None:
        for run in self._runs(self._trains[arrival.begin : arrival.end], arrival.each):
            self._deliver(run, arrival.node, mandate, arrival.fragment)

    def _receive(self) -> tuple[list["Arrival"], bool]:
        """Receive several trains, merging consecutive ones, and return whether more may be waiting."""
        arrivals: list[Arrival] = []
        end = 0
        for _ in range(AT_ONCE):
            try:
                size, ancillary, _, (node, _) = self._socket.recvmsg_into(
                    [self._trains[end : end + ROOM]], _ANCILLARY
                )
            except BlockingIOError:
                return arrivals, False
            except OSError as error:  # an ICMP error about a datagram that we sent
                self._count("receiving", error)
                continue
            each = fragment = 0
            for level, kind, value in ancillary:
                if level == socket.IPPROTO_UDP and kind == UDP_GRO:
                    each = _INT.unpack(value)[0]
                elif level == socket.IPPROTO_IP and kind == IP_RECVFRAGSIZE:
                    fragment = _INT.unpack(value)[0]
            arrival = Arrival(end, end + size, each or size, node, fragment)
            end += size
            if arrivals and arrivals[-1].goes_on_with(arrival):
                arrivals[-1] = arrivals[-1]._replace(end=end)
            else:
                arrivals.append(arrival)
        return arrivals, True

    def _deliver(self, run: Run, node: str, mandate: Mandate, fragment: int) -> None:
        verdict = admit(run.first, node, mandate)
        if verdict is not None:
            for _ in range(run.packets):
                self._refuse(verdict)
            return
        self._came_from(node, run.first, mandate)
        if not self._put([run.header, *run.parts], run.packets):
            return
        self._traffic.received.add(node, run.size, run.packets)
        if fragment and (answer := narrowed(run.first, fragment, mandate)) is not None:
            self._answer(answer)

    def _write(self, packet: bytes | bytearray) -> bool:
        return self._put([vnet.NOTHING, packet])

    def _goes_to(self, peer: Peer, packet: memoryview) -> None:
        """What was decided about a packet to this destination; the pump learns it."""

    def _came_from(self, node: str, packet: memoryview, mandate: Mandate) -> None:
        """A node's packet from this source was admitted; the pump learns it."""

    def _goes_singly(self) -> None:
        """A peer's datagrams go one by one from now on; the pump cannot do that."""


class Arrival(NamedTuple):
    """Datagrams from one node.

    `begin` and `end` delimit them in the buffer, `each` is the length of all but the last, and `fragment` the
    length of the longest fragment they arrived in, 0 if they were not fragmented.
    """

    begin: int
    end: int
    each: int
    node: str
    fragment: int

    @property
    def packets(self) -> int:
        """Number of datagrams."""
        return max(1, -(-(self.end - self.begin) // max(1, self.each)))

    def goes_on_with(self, other: "Arrival") -> bool:
        """Whether the other's datagrams can be appended to these as one train."""
        return (
            (other.each, other.node) == (self.each, self.node)
            and not self.fragment
            and not other.fragment
            and (self.end - self.begin) % max(1, self.each) == 0
        )
