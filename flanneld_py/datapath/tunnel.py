"""The udp backend's tunnel: the TUN device, a packet loop, and the fast path where available."""

import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from flanneld_py.datapath import core, sockets
from flanneld_py.datapath.fast_path import FastPath, FastPathUnavailable, load
from flanneld_py.datapath.forward import Mandate, Peer
from flanneld_py.datapath.loop import Loop
from flanneld_py.datapath.offload import OffloadLoop
from flanneld_py.datapath.plain import PlainLoop
from flanneld_py.datapath.pumped import PumpedLoop
from flanneld_py.datapath.roster import Roster
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.tun import open_tun
from flanneld_py.errors import Exit, Fatal
from flanneld_py.monitor.statistics import OTHERS, Flow, Statistics

__all__ = ["Outside", "Tunnel"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """The underlay side: the socket, the address and port it is bound to, and the interface."""

    socket: socket.socket
    address: IPv4Address
    port: int
    interface: str


class Tunnel:
    """A TUN device and what moves its packets. If the device is lost, a new tunnel replaces this one.

    `fast_path` and `offloads` are the values of the flags. Nothing is carried until `allow`. Raises `Fatal`.
    """

    def __init__(self, device: str, outside: Outside, mtu: int, *, fast_path: str, offloads: str) -> None:
        self.outside, self.mtu = outside, mtu
        self._wanted, self._compiled = fast_path, offloads == "auto"
        self._traffic = Traffic()
        self._roster = Roster()
        # The current programs and the counts of their predecessors: one tuple, because other threads read
        # both.
        self._programs: tuple[FastPath | None, Statistics] = None, Statistics()
        self._ways = {"loop": "plain", "fast_path": "off"}
        tun = open_tun(device, offloads=offloads != "off")
        self._tun, self.device, self.index = tun, tun.name, tun.index
        try:
            self._loop = self._loop_for(outside, mtu)
        except OSError:  # no free file descriptor: then the device must go, too
            os.close(tun.descriptor)
            raise

    def _loop_for(self, outside: Outside, mtu: int) -> Loop:
        sock, tun = outside.socket, self._tun
        if not tun.offloads:
            return PlainLoop(tun.descriptor, sock, mtu, self._traffic)
        trains = sockets.receive_trains(sock)
        compiled = core.load() if self._compiled else None
        found = {"gro": trains, "compiled": compiled is not None}
        self._ways["loop"] = ", ".join(
            (f"offloads: {tun.offloads}", *(name for name, here in found.items() if here))
        )
        if compiled is not None:
            return PumpedLoop(tun.descriptor, sock, self._traffic, compiled)
        return OffloadLoop(tun.descriptor, sock, self._traffic)

    @property
    def _fast(self) -> FastPath | None:
        return self._programs[0]

    @property
    def fast(self) -> bool:
        """Whether peers may send to the fast path."""
        return self._fast is not None

    @property
    def failure(self) -> OSError | None:
        """The error that ended the packet loop, if any."""
        return self._loop.failure

    @property
    def alive(self) -> bool:
        """Whether the device still exists; the packet loop may notice its removal a little later."""
        try:
            return self.failure is None and socket.if_nametoindex(self.device) == self.index
        except OSError:
            return False

    @property
    def damage(self) -> str:
        """What is wrong with the fast path that `renew` repairs; empty if nothing is."""
        return "" if self._fast is None else self._fast.damage()

    @property
    def inlet(self) -> tuple[str, int] | None:
        """Name and index of the fast path's second device, the inlet, if there is one."""
        return None if self._fast is None else self._fast.inlet

    def begin(self) -> None:
        """Start moving packets; the device must have its address by now. Raises `Fatal`."""
        self._loop.start()
        self._load()

    def renew(self) -> None:
        """Reattach the fast path; it carries nothing until `replace` and `allow`. Raises `Fatal`."""
        self._end_programs()
        self._load()

    def move(self, outside: Outside, mtu: int) -> None:
        """Switch to this underlay side, keeping the device; otherwise like `renew`. Raises OSError."""
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
        """Set the peers to exactly these, as with `put`; traffic to those that stay is not interrupted."""
        for subnet in self._roster.beyond(peers):
            self.remove(subnet)
        for subnet, (peer, fast) in peers.items():
            self.put(subnet, peer, fast=fast)

    def put(self, subnet: IPv4Network, peer: Peer, *, fast: bool) -> None:
        """Route the subnet to this peer in the fast path; the forwarding table is the caller's.

        `fast`: the peer accepts super-packets.
        """
        move = self._roster.put(subnet, peer.node)
        self._meet(move.came)
        self._tell(lambda programs: programs.put(subnet, peer, fast=fast))
        self._part(move.left)

    def remove(self, subnet: IPv4Network) -> None:
        """Remove the subnet's entry."""
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
        """Carry packets under this mandate."""
        self._loop.mandate = mandate
        self._tell(lambda programs: programs.allow(mandate))

    def forbid(self) -> None:
        """Carry nothing until the next `allow`."""
        self._loop.mandate = None
        self._tell(lambda programs: programs.forbid())

    def _tell(self, do: Callable[[FastPath], None]) -> None:
        """Apply a change to the BPF programs, if loaded; if it fails, detach them: the loop takes over."""
        if self._fast is None:
            return
        try:
            do(self._fast)
        except OSError as error:  # a map is full or memory is short
            self._end_programs()
            self._ways["fast_path"] = f"off: it could not be kept up: {error.strerror}"
            logger.error("The fast path could not be kept up, so it has ended: %s", error.strerror)  # noqa: TRY400

    def statistics(self) -> Statistics:
        """Return what was carried and dropped in each direction, and by which path. For any thread."""
        while True:
            looked_at = self._programs
            fast, past = looked_at
            also = Statistics() if fast is None else fast.statistics()
            if self._programs is looked_at:  # otherwise they may have been closed before they were read
                break
        return replace(_total(_total(self._traffic.statistics(), past), also), ways=dict(self._ways))

    def _end_programs(self) -> None:
        """Detach the programs, so that the loop gets all packets. Their counts are added to the others'."""
        fast, past = self._programs
        if fast is None:
            return
        with suppress(OSError):  # for example, no memory to read their counts
            past = _total(past, _of_others(fast.statistics()))
        self._programs = None, past
        fast.close()

    def close(self) -> None:
        """Close the tunnel; the device disappears with its descriptor, whatever else fails."""
        with ExitStack() as stack:
            stack.callback(os.close, self._tun.descriptor)
            stack.callback(self._loop.close)
            if self._fast is not None:
                stack.callback(self._fast.close)


def _introduce(programs: FastPath, nodes: Iterable[str]) -> None:
    for node in nodes:
        programs.know(node)


def _of_others(done: Statistics) -> Statistics:
    """Sum the counts of all nodes."""
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
