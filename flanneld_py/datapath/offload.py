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

from flanneld_py import clock
from flanneld_py.datapath import vnet
from flanneld_py.datapath.coalesce import Run, runs
from flanneld_py.datapath.forward import Drop, Mandate, Peer, Reply, admit, narrowed, route
from flanneld_py.datapath.loop import BATCH, NO_LEASE, Loop
from flanneld_py.datapath.packet import fragments
from flanneld_py.datapath.segment import Unsound, longest, train
from flanneld_py.datapath.sockets import IP_RECVFRAGSIZE, UDP_GRO
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.vnet import VnetHeader

__all__ = ["OffloadLoop"]

logger = logging.getLogger(__name__)

UDP_SEGMENT: Final = 103  # linux/udp.h
ROOM: Final = 1 << 16  # bytes: the longest packet and the longest train
AT_ONCE: Final = 8
"""Trains that are looked at together, if they are there: half of what a look takes is for any number."""

MOST_SEGMENTS: Final = 64  # UDP_MAX_SEGMENTS of linux/udp.h, before it became 128
MOST_BYTES: Final = 65507  # of the datagrams of one call: what an IPv4 packet takes beside its headers

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
        super().__init__(tun, sock, traffic, now=now)
        self._header = bytearray(vnet.SIZE)
        self._packet = memoryview(bytearray(ROOM))
        self._trains = memoryview(bytearray(AT_ONCE * ROOM))
        self._singly: set[str] = set()
        self._waiting = _Waiting()

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
            if mandate is None:
                self._dropped[NO_LEASE] += 1
                continue
            self._take(VnetHeader.of(self._header), self._packet[: max(0, size)], mandate)
        self._flush()

    def _take(self, header: VnetHeader, packet: memoryview, mandate: Mandate) -> None:
        """Send a packet, or all that a super-packet stands for, to its node."""
        verdict = route(packet, mandate, longest(header, packet))
        if isinstance(verdict, (Reply, Drop)):
            self._refuse(verdict)
            return
        try:
            data, size = train(header, packet)
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
        while data:
            room = self._waiting.room(peer, data, size)
            if room:
                self._waiting.put(data[:room])
                data = data[room:]
            if data:
                self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, _Waiting()
        if waiting.peer is not None:
            self._send(waiting.peer, waiting.parts, waiting.size, waiting.bytes)

    def _send(self, peer: Peer, parts: list[memoryview], size: int, length: int) -> None:
        """Send packets of this size, of which the last may be shorter, and `length` bytes in all."""
        packets = -(-length // size)
        if packets > 1 and peer.node in self._singly:
            whole = memoryview(b"".join(parts))
            for at in range(0, length, size):
                self._send(peer, [whole[at : at + size]], size, len(whole[at : at + size]))
            return
        told = [(socket.IPPROTO_UDP, UDP_SEGMENT, _SIZE.pack(size))] if packets > 1 else []
        try:
            self._socket.sendmsg(parts, told, 0, peer.endpoint)
        except OSError as error:  # a full buffer, no route, a firewall: as on any wire, the packets are lost
            if told and error.errno in CANNOT_SEGMENT:
                self._send_singly(peer, error)
                self._send(peer, parts, size, length)
            else:
                self._count(f"sending to {peer.node}", error)
        else:
            self._traffic.sent.add(peer.node, length, packets)
            if told:
                # A genuine node's buffer holds two trains, and its proxy takes a datagram with each call: if
                # it is on this machine, as in a lab, it has to have its turn, or a fifth of them is lost.
                os.sched_yield()

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
                    self._dropped[NO_LEASE] += 1
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
        try:
            os.writev(self._tun, [run.header, *run.parts])
        except OSError as error:  # EIO: the device is down for the moment
            self._count("writing to the device", error)
            return
        self._traffic.received.add(node, run.size, run.packets)
        if fragment and (told := narrowed(run.first, fragment, mandate)) is not None:
            self._answer(told)

    def _write(self, packet: bytes | bytearray) -> None:
        try:
            os.writev(self._tun, [vnet.NOTHING, packet])
        except OSError as error:
            self._count("writing to the device", error)


class _Arrival(NamedTuple):
    """What came from a node: where it is, the length of all datagrams but the last, and of its fragments."""

    begin: int
    end: int
    each: int
    node: str
    fragment: int

    def goes_on_with(self, other: "_Arrival") -> bool:
        """Whether the other's datagrams come right after ours as if they were of one train."""
        return (
            (other.each, other.node) == (self.each, self.node)
            and not self.fragment
            and not other.fragment
            and (self.end - self.begin) % max(1, self.each) == 0
        )


class _Waiting:
    """Packets for one node, of one length but for the last, that go with one call."""

    __slots__ = ("_closed", "_most", "bytes", "parts", "peer", "size")

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.parts: list[memoryview] = []
        self.size = self.bytes = self._most = 0
        self._closed = False

    def room(self, peer: Peer, data: memoryview, size: int) -> int:
        """Bytes of these packets, of this size but for the last, that go with the others."""
        if self.peer is None:
            self.peer, self.size = peer, size
            self._most = min(MOST_SEGMENTS, max(1, MOST_BYTES // size)) * size
        if self._closed or self.peer != peer or size > self.size:
            return 0
        if size < self.size:  # it would be the last
            return size if len(data) <= size <= self._most - self.bytes else 0
        return self._most - self.bytes

    def put(self, data: memoryview) -> None:
        """Take them in."""
        self.parts.append(data)
        self.bytes += len(data)
        self._closed = self.bytes % self.size != 0
