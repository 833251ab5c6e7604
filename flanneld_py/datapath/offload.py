"""The packet loop with the kernel's offloads: up to 64 KB with each system call, in both directions.

The device hands over and takes super-packets of TSO and USO (`vnet`), the socket trains of datagrams
(UDP_SEGMENT and UDP_GRO of linux/udp.h). What is done with them is pure: `segment` and `coalesce`.
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
from flanneld_py.datapath.forward import NO_LEASE, Drop, Mandate, Peer, Reply, admit, narrowed, route
from flanneld_py.datapath.loop import BATCH, Loop
from flanneld_py.datapath.pacing import Pacer
from flanneld_py.datapath.packet import fragments
from flanneld_py.datapath.segment import Unsound, how_many, longest, segments
from flanneld_py.datapath.sockets import IP_RECVFRAGSIZE, UDP_GRO, pair_cost
from flanneld_py.datapath.timer import Timer
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.trains import Train
from flanneld_py.datapath.vnet import VnetHeader
from flanneld_py.runtime import clock

__all__ = ["OffloadLoop"]

logger = logging.getLogger(__name__)

UDP_SEGMENT: Final = 103  # linux/udp.h
ROOM: Final = 1 << 16  # bytes: the longest packet and the longest train
AT_ONCE: Final = 8
"""Trains that are looked at together, if they are there: half of what a look takes is for any number."""

CALLS: Final = 4.5
"""What flannel's proxy needs for a datagram, in terms of `pair_cost`: two calls, and what they lead to.

Where 0.5.5 was measured that is 10 microseconds; with 9 it begins to lose datagrams, with 12 it has to wait.
"""

CALLS_SINGLE: Final = 7.5
"""The same for packets that come one by one: the programs that send and receive them take processors, too.

A proxy that is sent more than it can take in is busy with what it then loses. Where 0.5.5 was measured (both
machines on two processors), it takes in 45,000 of 100,000 a second, but 65,000 of 67,000; 7.5 is 60,000.
"""

SLOWEST: Final = 100e-6
"""Seconds for a datagram, however slow this machine seemed to be when that was measured."""

TOO_MANY_WAIT: Final = "too many wait for a node that announces nothing"

_INT: Final = Struct("@i")
_SIZE: Final = Struct("@H")
_ANCILLARY: Final = 2 * socket.CMSG_SPACE(_INT.size)

CANNOT_SEGMENT: Final = frozenset({errno.EIO, errno.EMSGSIZE, errno.EINVAL, errno.EOPNOTSUPP})
"""What a call with UDP_SEGMENT gives where it cannot be done: udp_send_skb of net/ipv4/udp.c."""


class OffloadLoop(Loop):
    """See `Loop`. The device has virtio headers, the socket may have UDP_GRO."""

    def __init__(
        self, tun: int, sock: socket.socket, traffic: Traffic, *, now: Callable[[], float] = clock.now
    ) -> None:
        self._timer = Timer()
        cost = pair_cost()
        self._pacer = Pacer(*(min(SLOWEST, calls * cost) for calls in (CALLS, CALLS_SINGLE)))
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
        for _ in range(BATCH):
            try:
                size = os.readv(self._tun, [self._header, self._packet]) - vnet.SIZE
            except BlockingIOError:
                break
            except OSError as error:
                # EBADFD: the device was deleted. Anything else would come again at once, and for ever.
                self.failure = error
                break
            header, packet = VnetHeader.of(self._header), self._packet[: max(0, size)]
            if mandate is None:
                self._refuse(NO_LEASE, how_many(header, packet))
                continue
            self._take(header, packet, mandate)
        self._flush()

    def _take(self, header: VnetHeader, packet: memoryview, mandate: Mandate) -> None:
        """Send a packet, or all that a super-packet stands for, to its node."""
        verdict = route(packet, mandate, longest(header, packet))
        if isinstance(verdict, (Reply, Drop)):
            self._refuse(verdict, how_many(header, packet))
            return
        try:
            data, size = segments(header, packet)
        except Unsound as error:
            self._dropped[str(error)] += 1
            return
        if isinstance(verdict, Peer):
            self._wait(verdict, data, size)
            return
        for at in range(0, len(data), size):
            for piece in fragments(data[at : at + size], verdict.peer.mtu):
                self._wait(verdict.peer, memoryview(piece), len(piece))

    def _wait(self, peer: Peer, data: memoryview, size: int) -> None:
        """Send packets of this size, of which the last may be shorter, together with those before and after.

        Two super-packets of 46 segments each go as 44, 44 and 4.
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
        """Send what has waited long enough."""
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
        told = [(socket.IPPROTO_UDP, UDP_SEGMENT, _SIZE.pack(train.size))] if packets > 1 else []
        try:
            self._socket.sendmsg(train.parts, told, 0, peer.endpoint)
        except OSError as error:  # a full buffer, no route, a firewall: as on any wire, the packets are lost
            if told and error.errno in CANNOT_SEGMENT:
                self._send_singly(peer, error)
                self._send(train)
            else:
                self._count(f"sending to {peer.node}", error, packets)
        else:
            self._traffic.sent.add(peer.node, train.bytes, packets)

    def _send_singly(self, peer: Peer, error: OSError) -> None:
        """Send this node a datagram with each call from now on; the way to others may be able to do more."""
        self._singly.add(peer.node)
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
                for run in runs(self._trains[arrival.begin : arrival.end], arrival.each):
                    self._deliver(run, arrival.node, mandate, arrival.fragment)
            if not more:
                return

    def _receive(self) -> tuple[list["_Arrival"], bool]:
        """Several trains, and whether there may be more. Those that go on where one ended are as one."""
        arrivals: list[_Arrival] = []
        end = 0
        for _ in range(AT_ONCE):
            try:
                size, ancillary, _, (node, _) = self._socket.recvmsg_into(
                    [self._trains[end : end + ROOM]], _ANCILLARY
                )
            except BlockingIOError:
                return arrivals, False
            except OSError as error:  # an ICMP error about something we sent
                self._count("receiving", error)
                continue
            each = fragment = 0
            for level, kind, value in ancillary:
                if level == socket.IPPROTO_UDP and kind == UDP_GRO:
                    each = _INT.unpack(value)[0]
                elif level == socket.IPPROTO_IP and kind == IP_RECVFRAGSIZE:
                    fragment = _INT.unpack(value)[0]
            arrival = _Arrival(end, end + size, each or size, node, fragment)
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
        if not self._put([run.header, *run.parts], run.packets):
            return
        self._traffic.received.add(node, run.size, run.packets)
        if fragment and (told := narrowed(run.first, fragment, mandate)) is not None:
            self._answer(told)

    def _write(self, packet: bytes | bytearray) -> bool:
        return self._put([vnet.NOTHING, packet])


class _Arrival(NamedTuple):
    """What came from a node: where it is, the length of all datagrams but the last, and of its fragments."""

    begin: int
    end: int
    each: int
    node: str
    fragment: int

    @property
    def packets(self) -> int:
        """How many datagrams."""
        return max(1, -(-(self.end - self.begin) // max(1, self.each)))

    def goes_on_with(self, other: "_Arrival") -> bool:
        """Whether the other's datagrams come right after ours as if they were of one train."""
        return (
            (other.each, other.node) == (self.each, self.node)
            and not self.fragment
            and not other.fragment
            and (self.end - self.begin) % max(1, self.each) == 0
        )
