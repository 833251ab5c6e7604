"""What carries the udp backend's packets: the TUN device, a loop, and the fast path where it can be had."""

import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from flanneld_py.datapath import sockets
from flanneld_py.datapath.fast_path import FastPath, FastPathUnavailable, load
from flanneld_py.datapath.forward import Mandate, Peer
from flanneld_py.datapath.loop import Loop
from flanneld_py.datapath.offload import OffloadLoop
from flanneld_py.datapath.plain import PlainLoop
from flanneld_py.datapath.roster import Roster
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.tun import open_tun
from flanneld_py.errors import Exit, Fatal
from flanneld_py.monitor.statistics import OTHERS, Flow, Statistics

__all__ = ["Outside", "Tunnel"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """The side of the network: the socket, what it is bound to, and the interface."""

    socket: socket.socket
    address: IPv4Address
    port: int
    interface: str


class Tunnel:
    """A device, and what moves packets through it once it has begun; made anew when the device is lost.

    `fast_path` and `offloads` are the flags' values. Raises `Fatal`. Until `allow` nothing is carried.
    """

    def __init__(self, device: str, outside: Outside, mtu: int, *, fast_path: str, offloads: str) -> None:
        self.outside, self.mtu = outside, mtu
        self._wanted = fast_path
        self._traffic = Traffic()
        self._roster = Roster()
        # The programs, and what those before them have counted: together, for any thread looks at both.
        self._programs: tuple[FastPath | None, Statistics] = None, Statistics()
        self._ways = {"loop": "plain", "fast_path": "off"}
        tun = open_tun(device, offloads=offloads == "auto")
        self._tun, self.device, self.index = tun, tun.name, tun.index
        try:
            self._loop = self._loop_for(outside, mtu)
        except OSError:  # no file descriptor is free: then the device is to go, too
            os.close(tun.descriptor)
            raise

    def _loop_for(self, outside: Outside, mtu: int) -> Loop:
        sock, tun = outside.socket, self._tun
        if not tun.offloads:
            return PlainLoop(tun.descriptor, sock, mtu, self._traffic)
        trains = sockets.receive_trains(sock)
        self._ways["loop"] = f"offloads: {tun.offloads}{', gro' if trains else ''}"
        return OffloadLoop(tun.descriptor, sock, self._traffic)

    @property
    def _fast(self) -> FastPath | None:
        return self._programs[0]

    @property
    def fast(self) -> bool:
        """Whether the fast path can be sent to."""
        return self._fast is not None

    @property
    def failure(self) -> OSError | None:
        """Why the device does not work any more, if so."""
        return self._loop.failure

    @property
    def alive(self) -> bool:
        """Whether the device is there; what moves its packets notices a little later that it is not."""
        try:
            return self.failure is None and socket.if_nametoindex(self.device) == self.index
        except OSError:
            return False

    @property
    def damage(self) -> str:
        """What has befallen the fast path that `renew` repairs; "" if nothing."""
        return "" if self._fast is None else self._fast.damage()

    @property
    def inlet(self) -> tuple[str, int] | None:
        """Name and index of the device beside ours that the fast path has, if it has one."""
        return None if self._fast is None else self._fast.inlet

    def begin(self) -> None:
        """Move packets; the device has its address by now. Raises `Fatal`."""
        self._loop.start()
        self._load()

    def renew(self) -> None:
        """Attach the fast path anew; it carries nothing until `replace` and `allow`. Raises `Fatal`."""
        self._end_programs()
        self._load()

    def move(self, outside: Outside, mtu: int) -> None:
        """Go on with this side of the network, and the same device; else as `renew`. Raises OSError."""
        loop = self._loop_for(outside, mtu)
        self._end_programs()
        self._loop.close()
        self._loop, self.outside, self.mtu = loop, outside, mtu
        self.begin()

    def _load(self) -> None:
        if self._wanted == "off":
            return
        try:
            place = self.outside
            fast = load(self.device, place.interface, place.address, place.port)
        except FastPathUnavailable as error:
            if self._wanted == "require":
                raise Fatal(f"-udp-fast-path=require: {error}", code=Exit.KERNEL) from error
            logger.info("Packets are carried without the fast path: %s", error)
            self._ways["fast_path"] = f"off: {error}"
        else:
            logger.info(
                "Packets are carried by the fast path between %s and %s", self.device, place.interface
            )
            self._ways["fast_path"] = "on"
            self._programs = fast, self._programs[1]
            self._tell(lambda programs: _introduce(programs, self._roster.nodes()))

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
            self._end_programs()
            self._ways["fast_path"] = f"off: it could not be kept up: {error.strerror}"
            logger.error("The fast path could not be kept up, so it has ended: %s", error.strerror)  # noqa: TRY400

    def statistics(self) -> Statistics:
        """What was carried and dropped either way, and how. For any thread."""
        while True:
            looked_at = self._programs
            fast, past = looked_at
            also = Statistics() if fast is None else fast.statistics()
            if self._programs is looked_at:  # or they may have been closed before they were asked
                break
        return replace(_total(_total(self._traffic.statistics(), past), also), ways=dict(self._ways))

    def _end_programs(self) -> None:
        """Everything comes to the loop from now on. What they have counted is the others' then."""
        fast, past = self._programs
        if fast is None:
            return
        with suppress(OSError):  # no memory, say, for what they have counted
            past = _total(past, _of_others(fast.statistics()))
        self._programs = None, past
        fast.close()

    def close(self) -> None:
        """End it; the device goes with its descriptor, whatever else fails."""
        with ExitStack() as stack:
            stack.callback(os.close, self._tun.descriptor)
            stack.callback(self._loop.close)
            if self._fast is not None:
                stack.callback(self._fast.close)


def _introduce(programs: FastPath, nodes: Iterable[str]) -> None:
    for node in nodes:
        programs.know(node)


def _of_others(done: Statistics) -> Statistics:
    """All nodes' as one."""
    sent, received = (
        Flow(sum(flow.packets for flow in flows.values()), sum(flow.bytes for flow in flows.values()))
        for flows in (done.sent, done.received)
    )
    return Statistics(
        {OTHERS: sent} if sent.packets else {}, {OTHERS: received} if received.packets else {}, done.dropped
    )


def _total(one: Statistics, other: Statistics) -> Statistics:
    dropped = dict(Counter(one.dropped) + Counter(other.dropped))  # dataclasses.asdict cannot copy a Counter
    return Statistics(_sum(one.sent, other.sent), _sum(one.received, other.received), dropped)


def _sum(one: Mapping[str, Flow], other: Mapping[str, Flow]) -> dict[str, Flow]:
    nothing = Flow(0, 0)
    return {
        node: Flow(a.packets + b.packets, a.bytes + b.bytes)
        for node in {**one, **other}
        for a, b in [(one.get(node, nothing), other.get(node, nothing))]
    }
