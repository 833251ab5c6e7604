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
from typing import Final

from flanneld_py import clock
from flanneld_py.datapath import vnet
from flanneld_py.datapath.coalesce import Run, runs
from flanneld_py.datapath.forward import Mandate, Peer, Split, admit, narrowed, route
from flanneld_py.datapath.loop import BATCH, NO_LEASE, Loop
from flanneld_py.datapath.packet import Buffer, fragments
from flanneld_py.datapath.segment import Unsound, longest, train
from flanneld_py.datapath.sockets import IP_RECVFRAGSIZE, UDP_GRO
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.vnet import VnetHeader

__all__ = ["OffloadLoop"]

logger = logging.getLogger(__name__)

UDP_SEGMENT: Final = 103  # linux/udp.h
ROOM: Final = 1 << 16  # bytes: the longest packet and the longest train
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
        self._train = memoryview(bytearray(ROOM))
        self._segments = True
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
        if not isinstance(verdict, Peer | Split):
            self._refuse(verdict)
            return
        try:
            data, size = train(header, packet)
        except Unsound as error:
            self._dropped[str(error)] += 1
            return
        if isinstance(verdict, Split):
            for at in range(0, len(data), size):
                for piece in fragments(data[at : at + size], verdict.peer.mtu):
                    self._wait(verdict.peer, piece)
        elif len(data) == size:
            self._wait(verdict, data)
        else:
            self._flush()
            self._send(verdict, data, size)

    def _wait(self, peer: Peer, packet: Buffer) -> None:
        """Send it with those before it, once there is one that does not go with them."""
        if not self._waiting.takes(peer, packet):
            self._flush()
            self._waiting.takes(peer, packet)

    def _flush(self) -> None:
        waiting = self._waiting
        if waiting.peer is None:
            return
        self._waiting = _Waiting()
        if len(waiting.packets) == 1:
            self._send_together(waiting.peer, waiting.packets, waiting.size, 1)
        elif self._segments:
            self._send_together(waiting.peer, waiting.packets, waiting.size, len(waiting.packets))
        else:
            for packet in waiting.packets:
                self._send_together(waiting.peer, [packet], len(packet), 1)

    def _send(self, peer: Peer, data: memoryview, size: int) -> None:
        """Send packets of this size, but for the last."""
        most = min(MOST_SEGMENTS, MOST_BYTES // size) * size if self._segments else size
        for at in range(0, len(data), most):
            some = data[at : at + most]
            self._send_together(peer, [some], size, -(-len(some) // size))

    def _send_together(self, peer: Peer, parts: list[Buffer], size: int, packets: int) -> None:
        told = [(socket.IPPROTO_UDP, UDP_SEGMENT, _SIZE.pack(size))] if packets > 1 else []
        try:
            sent = self._socket.sendmsg(parts, told, 0, peer.endpoint)
        except OSError as error:  # a full buffer, no route, a firewall: as on any wire, the packets are lost
            if told and error.errno in CANNOT_SEGMENT:
                self._give_up_segmenting(error)
                self._send(peer, memoryview(b"".join(parts)), size)
            else:
                self._count(f"sending to {peer.node}", error)
        else:
            self._traffic.sent.add(peer.node, sent, packets)

    def _give_up_segmenting(self, error: OSError) -> None:
        """Send a datagram with each call from now on."""
        self._segments = False
        logger.warning("The kernel does not take several datagrams at once (UDP_SEGMENT): %s", error.strerror)

    def _from_network(self, mandate: Mandate | None) -> None:
        for _ in range(BATCH):
            try:
                size, ancillary, _, (node, _) = self._socket.recvmsg_into([self._train], _ANCILLARY)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error about something we sent
                self._count("receiving", error)
                continue
            if mandate is None:
                self._dropped[NO_LEASE] += 1
                continue
            each = fragment = 0
            for level, kind, value in ancillary:
                if level == socket.IPPROTO_UDP and kind == UDP_GRO:
                    each = _INT.unpack(value)[0]
                elif level == socket.IPPROTO_IP and kind == IP_RECVFRAGSIZE:
                    fragment = _INT.unpack(value)[0]
            for run in runs(self._train[:size], each):
                self._deliver(run, node, mandate, fragment)

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


class _Waiting:
    """Packets for one node, of one length but for the last, that go with one call."""

    __slots__ = ("_bytes", "_closed", "packets", "peer", "size")

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.packets: list[Buffer] = []
        self.size = self._bytes = 0
        self._closed = False

    def takes(self, peer: Peer, packet: Buffer) -> bool:
        """Take a packet in, if it goes with the others."""
        size = len(packet)
        if self.peer is None:
            self.peer, self.size = peer, size
        elif (
            self._closed
            or peer != self.peer
            or size > self.size
            or len(self.packets) == MOST_SEGMENTS
            or self._bytes + size > MOST_BYTES
        ):
            return False
        self._closed = size < self.size
        self._bytes += size
        self.packets.append(packet)
        return True
