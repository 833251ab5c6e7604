"""The loop with offloads whose packets are carried by the compiled core's pump; Python decides, as ever.

The pump runs until it needs a decision, or meets an error. What it leaves is handled by the loop in Python,
which tells it what was decided: to which peer packets go, and whose packets are accepted. A paced node's
queue is the pump's, and all packets to it pass that, whoever has segmented them; only nodes beyond those that
the pump has queues for have theirs in the `Pacer`.
"""

import os
import socket

from flanneld_py.datapath.core import Core
from flanneld_py.datapath.core.pump import READY, Descriptors, Pump, Reason
from flanneld_py.datapath.forward import NO_LEASE, Mandate, Peer
from flanneld_py.datapath.offload import TOO_MANY_WAIT, Arrival, OffloadLoop
from flanneld_py.datapath.timer import Timer
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.trains import Train
from flanneld_py.datapath.vnet import VnetHeader

__all__ = ["PumpedLoop"]


class PumpedLoop(OffloadLoop):
    """An `OffloadLoop` with the core's pump. Its time is the kernel's: the pump has no other clock."""

    def __init__(self, tun: int, sock: socket.socket, traffic: Traffic, core: Core) -> None:
        super().__init__(tun, sock, traffic, core)
        self._pace = Timer()
        self._when_ready[self._pace.fileno()] = self._when_paced
        sides = Descriptors(tun, sock.fileno(), self._timer.fileno(), self._pace.fileno(), self._wake)
        self._pump: Pump = core.pump(
            sides, self._header, self._packet, self._trains, self._changes, self._pacer.pauses
        )

    def close(self) -> None:
        """See `Loop`."""
        super().close()
        self._pace.close()

    def _run(self) -> None:
        while self.failure is None and self._pumped():
            pass

    def _pumped(self) -> bool:
        """Have packets pumped, and do what is left to Python; return whether to go on."""
        pump = self._pump
        reason = pump.carry()
        for done in pump.counted():
            self._traffic.sent.add(done.node, *done.sent)
            self._traffic.received.add(done.node, *done.received)
        if refused := pump.refused():
            self._dropped[TOO_MANY_WAIT] += refused
        if reason is Reason.WOKEN:
            return False
        if reason is Reason.CHANGED:
            change = self._changes[0]
            pump.allow(self.mandate, change)
            sides = (self._tun, self._socket.fileno(), self._timer.fileno(), self._pace.fileno())
            self._serve([side for name, side in zip(READY, sides, strict=True) if name in pump.ready])
        elif reason in (Reason.UNREAD, Reason.UNPOLLED):
            self.failure = _error(pump)
        elif reason is Reason.UNRECEIVED:
            self._count("receiving", _error(pump))
        elif reason is Reason.UNWRITTEN:
            self._count("writing to the device", _error(pump), pump.size)
        elif reason is Reason.TRAIN:
            self._send_left()
        elif pump.mandate is not None:  # nothing of what follows is told without one
            self._decide(reason, pump.mandate)
        return True

    def _decide(self, reason: Reason, mandate: Mandate) -> None:
        """Do what the pump has no decision for."""
        pump = self._pump
        if reason is Reason.ARRIVAL:
            self._join(Arrival(*pump.arrival), mandate)
            return
        if reason is Reason.DUE:
            self._when_due(mandate)
        elif reason is Reason.PACKET:
            self._reuse()
            self._take(VnetHeader.of(self._header), self._packet[: pump.size], mandate)
            self._from_kernel(mandate)  # there may be more of its kind

    def _send_left(self) -> None:
        """Send a train that the pump could not send."""
        peer, data, size = self._pump.train
        train = Train(peer, size)
        train.fill(peer, data, size)
        self._send(train)

    def _when_paced(self, mandate: Mandate | None) -> None:
        """Drop what waits in the pump if there is no lease; otherwise the pump sends it."""
        if mandate is None:
            self._dropped[NO_LEASE.reason] += self._pump.clear()

    def _paces(self, peer: Peer) -> bool:
        """Return whether the pump has this paced peer's queue."""
        due = self._pacer.due(peer.node)
        return due is not None and self._pump.paces(peer, due)

    def _wait(self, peer: Peer, data: memoryview, size: int) -> None:
        if not peer.paced or not self._paces(peer):
            super()._wait(peer, data, size)
            return
        self._pump.queue(peer, data, size)
        while self._pump.send_due(self._now()):
            self._send_left()

    def _goes_to(self, peer: Peer, packet: memoryview) -> None:
        if peer.node not in self._singly and (not peer.paced or self._paces(peer)):
            self._pump.learn_destination(int.from_bytes(packet[16:20]), peer)

    def _came_from(self, node: str, packet: memoryview, mandate: Mandate) -> None:
        if not mandate.check_source:
            return
        source = int.from_bytes(packet[12:16])
        if (peer := mandate.table.lookup(source)) is not None and peer.node == node:
            self._pump.learn_source(source, peer)

    def _goes_singly(self) -> None:
        self._pump.forget()


def _error(pump: Pump) -> OSError:
    return OSError(pump.error, os.strerror(pump.error))
