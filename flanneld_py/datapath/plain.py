"""The packet loop without kernel offloads: one packet per system call, as in v0.5.5's proxy."""

import os
import socket
from collections.abc import Callable
from struct import Struct
from typing import Final

from flanneld_py.datapath.forward import NO_LEASE, Mandate, Peer, Split, admit, narrowed, route
from flanneld_py.datapath.loop import BATCH, Loop
from flanneld_py.datapath.packet import decrement_ttl, fragments
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.runtime import clock

__all__ = ["PlainLoop"]

_INT: Final = Struct("@i")
_ANCILLARY: Final = socket.CMSG_SPACE(_INT.size)


class PlainLoop(Loop):
    """A `Loop` for a device without virtio headers (IFF_VNET_HDR); `mtu` is the device's MTU in bytes."""

    def __init__(
        self,
        tun: int,
        sock: socket.socket,
        mtu: int,
        traffic: Traffic,
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        super().__init__(tun, sock, traffic, now=now)
        self._size = mtu + 1  # one byte more, so that an oversized datagram is recognised as malformed

    def _from_kernel(self, mandate: Mandate | None) -> None:
        for _ in range(BATCH):
            try:
                packet = os.read(self._tun, self._size)
            except BlockingIOError:
                return
            except OSError as error:
                # EBADFD: the device was deleted. Any other error would repeat at once and for ever.
                self.failure = error
                return
            if mandate is None:
                self._refuse(NO_LEASE)
                continue
            match route(packet, mandate):
                case Peer() as peer:
                    self._send(decrement_ttl(packet), peer)
                case Split(peer):
                    for piece in fragments(decrement_ttl(packet), peer.mtu):
                        self._send(piece, peer)
                case verdict:
                    self._refuse(verdict)

    def _from_network(self, mandate: Mandate | None) -> None:
        for _ in range(BATCH):
            try:
                packet, ancillary, _, (node, _) = self._socket.recvmsg(self._size, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error about a datagram that we sent
                self._count("receiving", error)
                continue
            if mandate is None:
                self._refuse(NO_LEASE)
                continue
            verdict = admit(packet, node, mandate)
            if verdict is not None:
                self._refuse(verdict)
                continue
            self._traffic.received.add(node, len(packet))
            self._write(decrement_ttl(packet))
            if ancillary:  # IP_RECVFRAGSIZE is the only kind requested
                answer = narrowed(packet, _INT.unpack(ancillary[0][2])[0], mandate)
                if answer is not None:
                    self._answer(answer)

    def _send(self, packet: bytes | bytearray, peer: Peer) -> None:
        try:
            self._socket.sendto(packet, peer.endpoint)
        except OSError as error:  # a full buffer, no route or a firewall: lost, as on any network
            self._count(f"sending to {peer.node}", error)
        else:
            self._traffic.sent.add(peer.node, len(packet))

    def _write(self, packet: bytes | bytearray) -> bool:
        return self._put([packet])
