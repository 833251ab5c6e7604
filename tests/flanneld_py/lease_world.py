"""Several real daemons, one etcd in memory and a clock of its own, all in one thread.

Each daemon runs as a greenlet that hands over whenever it would wait. Time passes only by `World.advance`;
who is paused does not run while it does, and finds its messages later. What packets a daemon carries is
judged as pessimistically as a kernel would: by the table and the deadline that it last gave its backend,
also while it is paused, for it may be resumed at any moment.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from flanneld_py.daemon.event_queue import EventQueue
from flanneld_py.daemon.network import NetworkDaemon
from flanneld_py.errors import Stopped
from flanneld_py.kernel.desired import DesiredDevice
from flanneld_py.kernel.entries import Entry, Slot
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerEvent, StoredLease
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.options import Options
from flanneld_py.registry import (
    LeaseAdded,
    LeaseChanges,
    LeaseRemoved,
    RegistryUnavailable,
    Reset,
    Snapshot,
    WatchMessage,
)
from flanneld_py.registry.location import Location
from flanneld_py.runtime.clock import Queue, Time
from flanneld_py.subnet import Addresses, Subnet
from flanneld_py.underlay.interface import Interface
from tests.flanneld_py.made import addresses
from tests.flanneld_py.memory_registry import MemoryEtcd, MemoryRegistry

__all__ = ["MARGIN", "Node", "Routes", "Violation", "Wire", "World"]

T = TypeVar("T")

# Three subnets for up to four daemons: flannel leaves the first of the four out.
CONFIG = b'{ "Network": "10.2.0.0/22", "SubnetLen": 24 }'


MARGIN = 6 * 60
"""Minutes; some hours, because the model's daemons wake up every two."""


class Violation(AssertionError):
    """Two daemons acted on one subnet, or one wrote over another's lease."""


class Clock(Time):
    """One daemon's waiting: it hands over to the world until something is due."""

    def __init__(self, node: "Node") -> None:
        super().__init__()
        self._node = node

    def now(self) -> float:
        """Not `Node.time_of_day`, which jumps."""
        return self._node.world.now

    def rest(self, seconds: float) -> None:
        self._node.wait(seconds, lambda: False)

    def spread(self, seconds: float) -> float:
        return seconds

    def receive(self, event_queue: Queue[T], seconds: float) -> T | None:
        end = self.now() + seconds
        while event_queue.empty() and (left := end - self.now()) > 0 and not self.stopping.is_set():
            # Nothing tells of the moment from which changes are no longer held back.
            held = event_queue.held() if isinstance(event_queue, EventQueue) else 0.0
            self._node.wait(min(left, held) or left, lambda: not event_queue.empty())
        return None if event_queue.empty() else event_queue.get_nowait()


class Wire:
    """What a daemon carries, as its backend: up to a deadline, as udp. Each call takes `World.slowness`."""

    mtu = 1472

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._public = node.public
        self.subnet: Subnet | None = None
        self.until = float("-inf")

    def recall(self, said: LeaseAttrs) -> None:
        pass

    def _work(self) -> None:
        """Let time pass, and others act."""
        slowness = self._node.world.slowness
        if slowness and not self._node.clock.stopping.is_set():
            self._node.wait(slowness, lambda: False)

    def announcement(self) -> bytes:
        return b""

    def attrs(self) -> LeaseAttrs:
        return replace(LeaseAttrs(self._public), backend_data={"VtepMAC": "52:08:1a:2b:3c:4d"})

    def follow(self, interface: Interface, public: Addresses) -> None:  # noqa: ARG002
        self._public = public

    def claim(self, subnet: Subnet) -> None:
        self.subnet, self.until = subnet, float("-inf")
        self._node.told_at.pop(subnet, None)
        self._work()

    def carry(self, _peers: Mapping[Subnet, Lease], until: float) -> None:
        self.until = until
        self._work()

    def change(self, _events: Sequence[PeerEvent]) -> None:
        self._work()

    def extend(self, until: float) -> None:
        self.until = until

    def release(self) -> None:
        self._work()
        self.close()

    def owned(self) -> Sequence[DesiredDevice]:
        return ()

    def wanted(self) -> Mapping[Slot, Entry]:
        return {}

    def broken(self) -> str:
        self._work()
        return ""

    def repair(self) -> int:
        self._work()
        return 0

    def statistics(self) -> Statistics:
        return Statistics()

    def close(self) -> None:
        self.until = float("-inf")


class Routes(Wire):
    """As the backends whose packets the kernel carries: it does so until it is told that it may not."""

    def carry(self, peers: Mapping[Subnet, Lease], _until: float) -> None:
        super().carry(peers, float("inf"))

    def extend(self, until: float) -> None:
        """The kernel knows no deadline."""


class Line(MemoryRegistry):
    """A daemon's connection, which can be cut; before each call others may have their turn."""

    def __init__(self, etcd: MemoryEtcd, node: "Node") -> None:
        super().__init__(etcd)
        self._node = node

    def _reach(self) -> MemoryEtcd:
        if self._node.cut:
            raise RegistryUnavailable("http://192.0.2.1:2379: unavailable: cut")
        return super()._reach()

    def create(self, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        self._node.yield_turn()
        return super().create(subnet, attrs)

    def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        self._node.yield_turn()
        holder = self._node.world.holder(held.lease.subnet)
        answer = self.write_anew(held, attrs)
        if answer is not None and holder not in (None, str(self._node.public)):
            raise Violation(f"{self._node.public} renewed {held.lease.subnet}, the lease of {holder}")
        return answer

    def write_anew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        return super().renew(held, attrs)

    def snapshot(self) -> Snapshot:
        self._node.yield_turn()
        return super().snapshot()

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        self._node.yield_turn()

        def told(message: WatchMessage) -> None:
            self._node.hear(message)
            deliver(message)

        super().watch(revision, told)

    def lose(self) -> None:
        """The connection breaks: the watch ends, and what happens later is not told."""
        deliver = self._deliver
        self.close()
        if deliver is not None:
            deliver(Reset("the connection broke"))


@dataclass
class Node:
    """One machine: at most one daemon runs on it, again and again."""

    world: "World"
    number: int
    cut: bool = False
    paused: bool = False
    jump: float = 0.0
    public: Addresses = field(init=False)
    clock: Clock = field(init=False)
    wire: Wire = field(init=False)
    line: Line = field(init=False)
    process: greenlet | None = None
    told_at: dict[Subnet, float] = field(default_factory=dict)
    """When its watch told it that a subnet is not its own any more."""
    _due: float = 0.0
    _ready: Callable[[], bool] = field(default=lambda: False)

    def __post_init__(self) -> None:
        self.public = addresses(f"192.168.199.{51 + self.number}")
        self.clock, self.wire = self.world.clock(self), self.world.wire(self)

    @property
    def subnet_file(self) -> Path:
        return self.world.folder / f"{self.number}.env"

    @property
    def time_of_day(self) -> float:
        """What the machine's wall clock shows."""
        return self.world.now + self.jump

    @property
    def runs(self) -> bool:
        return self.process is not None and not self.process.dead

    @property
    def acts_on(self) -> Subnet | None:
        """The subnet whose packets it carries, now or when it is resumed."""
        return self.wire.subnet if self.clock.now() < self.wire.until else None

    def start(self) -> None:
        self.paused = False
        self.clock, self.wire = self.world.clock(self), self.world.wire(self)
        self.told_at.clear()
        self.line = self.world.line(self.world.etcd, self)
        daemon = NetworkDaemon(
            Options(subnet_lease_renew_margin=MARGIN, subnet_allocation="lowest"), self.line,
            open_backend=lambda _network: self.wire,
            subnet_file=self.subnet_file, time=self.clock, location=Location("", "no key {}", ()),
        )  # fmt: skip

        def run() -> None:
            try:
                daemon.run()
            except (Stopped, GreenletExit):
                pass
            finally:
                daemon.close()

        self._due = self.world.now
        self.process = greenlet(run)
        self.world.settle()

    def crash(self) -> None:
        """kill -9: not another line of it runs; the kernel closes its connections."""
        process, self.process = self.process, None
        self.line.close()
        self.wire.close()
        if process is not None and not process.dead:
            process.throw(GreenletExit)

    def stop(self) -> None:
        """SIGTERM."""
        self.paused = False
        self.clock.stopping.set()
        self._due = self.world.now
        self.world.settle()
        assert not self.runs

    def hear(self, message: WatchMessage) -> None:
        """What its watch tells."""
        for event in message.events if isinstance(message, LeaseChanges) else ():
            if isinstance(event, LeaseAdded) and event.held.lease.attrs.public == self.public:
                self.told_at.pop(event.held.lease.subnet, None)
            elif isinstance(event, LeaseAdded):
                self.told_at.setdefault(event.held.lease.subnet, self.world.now)
            elif isinstance(event, LeaseRemoved):
                self.told_at.setdefault(event.subnet, self.world.now)

    def wait(self, seconds: float, ready: Callable[[], bool]) -> None:
        """Hand over until so much time has passed, or `ready`; called in the daemon's greenlet."""
        self._due, self._ready = self.world.now + seconds, ready
        parent = getcurrent().parent
        assert parent is not None
        parent.switch()

    def yield_turn(self) -> None:
        """Let others act, and time pass, before an answer comes; a registry that was closed gives none."""
        self._heed_stop()
        latency = self.world.latency
        self.wait(latency, lambda: latency == 0)
        self._heed_stop()

    def _heed_stop(self) -> None:
        if self.clock.stopping.is_set():
            raise Stopped

    @property
    def can_run(self) -> bool:
        return self.runs and not self.paused and (self._due <= self.world.now or self._ready())

    @property
    def due(self) -> float:
        return self._due if self.runs and not self.paused else float("inf")

    def run(self) -> None:
        assert self.process is not None
        self.process.switch()


class World:
    """Up to four machines and their etcd; each call to it takes `latency` seconds, to a backend `slowness`.

    `line`, `clock` and `wire` make a daemon's connection, clock and backend, or mutants of them. `unaware`
    are the nodes that acted on a subnet when somebody outside deleted or overwrote its key: until they hear
    of it, another may rightfully hold it too. From then on they have `prompt` seconds to give it up.
    """

    def __init__(
        self,
        machines: int = 4,
        line: Callable[[MemoryEtcd, Node], Line] = Line,
        clock: Callable[[Node], Clock] = Clock,
        wire: Callable[[Node], Wire] = Wire,
        prompt: float = float("inf"),
    ) -> None:
        logging.disable()
        self.now = 1000.0
        self.latency = self.slowness = 0.0
        self.prompt = prompt
        self.etcd = MemoryEtcd(lambda: self.now)
        self.etcd.config = CONFIG
        self.line, self.clock, self.wire = line, clock, wire
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.nodes = [Node(self, number) for number in range(machines)]
        self.unaware: set[tuple[int, Subnet]] = set()

    def close(self) -> None:
        for node in self.nodes:
            if node.runs:
                node.crash()
        self._folder.cleanup()
        logging.disable(logging.NOTSET)

    def holder(self, subnet: Subnet) -> str | None:
        """The address that the subnet's key names."""
        for held in self.etcd.snapshot().leases:
            if held.lease.subnet == subnet:
                return str(held.lease.attrs.public)
        return None

    def settle(self) -> None:
        """Let everybody run who can, until all wait."""
        for _ in range(10_000):
            able = [node for node in self.nodes if node.can_run]
            if not able:
                return
            for node in able:
                if node.can_run:
                    node.run()
                    self.check()
        raise AssertionError("the daemons never come to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass, and everybody run when something is due."""
        end = self.now + seconds
        while True:
            self.settle()
            following = min([node.due for node in self.nodes], default=end)
            if following > end:
                break
            self.now = max(self.now, following)
            self.check()
        self.now = end
        self.etcd.snapshot()  # keys that have run out by now are told
        self.settle()
        self.check()

    def meddle(self, subnet: Subnet, act: Callable[[], object]) -> None:
        """Somebody outside changes the subnet's key."""
        self.unaware |= {(node.number, subnet) for node in self.nodes if node.acts_on == subnet}
        act()
        self.settle()

    def check(self) -> None:
        """Never two: no subnet is acted on by two daemons, unless one cannot know yet of a meddled key."""
        acting = [(node.number, subnet) for node in self.nodes if (subnet := node.acts_on) is not None]
        self.unaware.intersection_update(acting)
        for number, subnet in acting:
            late = self.now - self.nodes[number].told_at.get(subnet, self.now)
            if late > self.prompt:
                public = self.nodes[number].public
                raise Violation(
                    f"{public} still acts on {subnet}, {late} s after it was told that it is lost"
                )
        aware = [item for item in acting if item not in self.unaware]
        for index, (number, subnet) in enumerate(aware):
            for other, theirs in aware[:index]:
                if subnet.overlaps(theirs):
                    nodes = f"{self.nodes[number].public} and {self.nodes[other].public}"
                    raise Violation(f"{nodes} both act on {subnet} at {self.now}")

    def check_connected(self) -> None:
        """Who runs, is connected and had its time, acts on what its key names it for, and on nothing else."""
        for node in self.nodes:
            acts_on = node.acts_on
            if node.runs and not node.paused and not node.cut and acts_on is not None:
                named = self.holder(acts_on)
                # Under junk it stays ours: nobody can take it, and it is written over once that is possible.
                spoiled = named is None and self.etcd.revision_of(acts_on) is not None
                if named != str(node.public) and not spoiled:
                    raise Violation(f"{node.public} acts on {acts_on}, whose key names {named}")
                # In a store that takes nothing, what others wrote over it stays so.
                mended = named is None or self.etcd.held(acts_on).lease.attrs == node.wire.attrs()
                if not (mended or self.etcd.read_only):
                    raise Violation(f"{node.public} acts on {acts_on}, whose key does not say how")
