"""What carries the udp backend's packets: the TUN device, a loop, and the fast path where it can be had."""

import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from flanneld_py.backend import Flow, Statistics
from flanneld_py.datapath import sockets
from flanneld_py.datapath.fast_path import FastPath, Unavailable, load
from flanneld_py.datapath.forward import Mandate, Peer
from flanneld_py.datapath.loop import Loop
from flanneld_py.datapath.offload import OffloadLoop
from flanneld_py.datapath.plain import PlainLoop
from flanneld_py.datapath.roster import Roster
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.tun import Tun, open_tun
from flanneld_py.errors import Exit, Fatal

__all__ = ["Carrier", "Outside"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """The side of the network: the socket, what it is bound to, and the interface."""

    socket: socket.socket
    address: IPv4Address
    port: int
    interface: str


class Carrier:
    """A device, and what moves packets through it once it has begun; made anew when the device is lost.

    `fast_path` and `offloads` are the flags' values. Raises `Fatal`. Until `allow` nothing is carried.
    """

    def __init__(self, device: str, outside: Outside, mtu: int, *, fast_path: str, offloads: str) -> None:
        self._outside, self._mtu = outside, mtu
        self._wanted = fast_path
        self._fast: FastPath | None = None
        self._traffic = Traffic()
        self._roster = Roster()
        self._ways = {"loop": "plain", "fast_path": "off"}
        tun = open_tun(device, offloads=offloads == "auto")
        self._tun, self.device = tun.descriptor, tun.name
        try:
            self._loop = self._loop_for(tun)
        except OSError:  # no file descriptor is free: then the device is to go, too
            os.close(self._tun)
            raise

    def _loop_for(self, tun: Tun) -> Loop:
        sock = self._outside.socket
        if not tun.offloads:
            return PlainLoop(tun.descriptor, sock, self._mtu, self._traffic)
        trains = sockets.receive_trains(sock)
        self._ways["loop"] = f"offloads: {tun.offloads}{', gro' if trains else ''}"
        return OffloadLoop(tun.descriptor, sock, self._traffic)

    @property
    def fast(self) -> bool:
        """Whether the fast path can be sent to."""
        return self._fast is not None

    @property
    def failure(self) -> OSError | None:
        """Why the device does not work any more, if so."""
        return self._loop.failure

    def begin(self) -> None:
        """Move packets; the device has its address by now. Raises `Fatal`."""
        self._loop.start()
        if self._wanted == "off":
            return
        try:
            place = self._outside
            self._fast = load(self.device, place.interface, place.address, place.port)
        except Unavailable as error:
            if self._wanted == "require":
                raise Fatal(f"-udp-fast-path=require: {error}", code=Exit.KERNEL) from error
            logger.info("Packets are carried without the fast path: %s", error)
            self._ways["fast_path"] = f"off: {error}"
        else:
            logger.info(
                "Packets are carried by the fast path between %s and %s", self.device, place.interface
            )
            self._ways["fast_path"] = "on"

    def replace(self, peers: Mapping[IPv4Network, tuple[Peer, bool]]) -> None:
        """These peers and no others, as by `put`; those that stay are carried on meanwhile."""
        for subnet in self._roster.beyond(peers):
            self.remove(subnet)
        for subnet, (peer, fast) in peers.items():
            self.put(subnet, peer, fast=fast)

    def put(self, subnet: IPv4Network, peer: Peer, *, fast: bool) -> None:
        """From now on the subnet is that node's, in the fast path as well; the table has it.

        `fast`: it takes super-packets.
        """
        move = self._roster.put(subnet, peer.node)
        self._meet(move.came)
        self._tell(lambda programs: programs.put(subnet, peer, fast=fast))
        self._part(move.left)

    def remove(self, subnet: IPv4Network) -> None:
        """From now on the subnet is nobody's."""
        move = self._roster.remove(subnet)
        self._tell(lambda programs: programs.remove(subnet))
        self._part(move.left)

    def _meet(self, node: str | None) -> None:
        if node is not None:
            self._traffic.know(node)
            self._tell(lambda programs: programs.know(node))

    def _part(self, node: str | None) -> None:
        if node is not None:
            self._traffic.forget(node)
            self._tell(lambda programs: programs.forget(node))

    def allow(self, mandate: Mandate) -> None:
        """Carry packets by this mandate."""
        self._loop.mandate = mandate
        self._tell(lambda programs: programs.allow(mandate))

    def forbid(self) -> None:
        """Carry nothing until the next `allow`."""
        self._loop.mandate = None
        self._tell(lambda programs: programs.forbid())

    def _tell(self, do: Callable[[FastPath], None]) -> None:
        """Have the programs do it, if there are any. If they cannot, they end and the loop serves."""
        if self._fast is None:
            return
        try:
            do(self._fast)
        except OSError as error:  # a map is full, or there is no memory
            self._fast.close()
            self._fast = None
            self._ways["fast_path"] = f"off: it could not be kept up: {error.strerror}"
            logger.error("The fast path could not be kept up, so it has ended: %s", error.strerror)  # noqa: TRY400

    def statistics(self) -> Statistics:
        """What was carried and dropped either way, and how. For any thread."""
        fast, done = self._fast, self._traffic.statistics()
        if fast is None:
            return replace(done, ways=dict(self._ways))
        also = fast.statistics()
        return Statistics(
            _sum(done.sent, also.sent),
            _sum(done.received, also.received),
            dict(Counter(done.dropped) + Counter(also.dropped)),
            ways=dict(self._ways),
        )

    def close(self) -> None:
        """End it; the device goes with its descriptor, whatever else fails."""
        with ExitStack() as stack:
            stack.callback(os.close, self._tun)
            stack.callback(self._loop.close)
            if self._fast is not None:
                stack.callback(self._fast.close)


def _sum(one: Mapping[str, Flow], other: Mapping[str, Flow]) -> dict[str, Flow]:
    nothing = Flow(0, 0)
    return {
        node: Flow(a.packets + b.packets, a.bytes + b.bytes)
        for node in {**one, **other}
        for a, b in [(one.get(node, nothing), other.get(node, nothing))]
    }
