"""A daemon in virtual time, with an etcd in memory and a backend that writes down what it is asked."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flanneld_py.backend import Backend
from flanneld_py.config.model import NetworkConfig
from flanneld_py.daemon.event_queue import EventQueue
from flanneld_py.daemon.network import NetworkDaemon
from flanneld_py.kernel.desired import DesiredDevice
from flanneld_py.kernel.entries import Entry, Slot
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, PeerEvent
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.monitor.status import NetworkStatus
from flanneld_py.options import Options
from flanneld_py.registry.location import Location
from flanneld_py.runtime.clock import Queue, Time
from flanneld_py.subnet import Addresses, Subnet
from flanneld_py.underlay.interface import Interface
from tests.flanneld_py.made import attrs, subnet
from tests.flanneld_py.memory_registry import MemoryEtcd, MemoryRegistry

OUR_IP, THEIR_IP = "192.168.199.52", "192.168.199.53"
THEIRS = subnet("10.2.52.0/24")
HOUR = 3600.0

T = TypeVar("T")


class Stop(Exception):
    """The script is through."""


class Script(Time):
    """Virtual time: each action happens at its second; when the last has, and time still passes, `Stop`."""

    def __init__(self) -> None:
        super().__init__()
        self.second = 0.0
        self.actions: list[tuple[float, Callable[[], object]]] = []

    def at(self, second: float, action: Callable[[], object]) -> None:
        self.actions.append((second, action))
        self.actions.sort(key=lambda item: item[0])

    def now(self) -> float:
        return self.second

    def rest(self, seconds: float) -> None:
        end = self.second + seconds
        while self.actions and self.actions[0][0] <= end:
            self.second, action = self.actions.pop(0)
            action()
        self.second = end
        if not self.actions:
            raise Stop

    def spread(self, seconds: float) -> float:
        return seconds

    def receive(self, event_queue: Queue[T], seconds: float) -> T | None:
        end = self.second + seconds
        while event_queue.empty():
            acts_at = self.actions[0][0] if self.actions else math.inf
            # Nothing tells of the moment from which changes are no longer held back.
            held_until = math.inf
            if isinstance(event_queue, EventQueue) and event_queue.oldest() is not None:
                held_until = self.second + event_queue.held()
            if min(acts_at, held_until) > end:
                break
            if acts_at <= held_until:
                self.second, action = self.actions.pop(0)
                action()
            else:
                self.second = held_until
        else:
            return event_queue.get_nowait()
        self.second = end
        if not self.actions:
            raise Stop
        return None


class Recorder(Backend):
    """A backend that writes down what it is asked to do, and which peers it then carries packets to."""

    mtu = 1472

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.peers: dict[Subnet, Lease] = {}
        self.until = 0.0
        self.trouble = ""
        self.said = attrs(OUR_IP)
        self.repairs = 0
        self.devices: tuple[DesiredDevice, ...] = ()

    def recall(self, _said: LeaseAttrs) -> None:
        pass

    def announcement(self) -> bytes:
        return b""

    def attrs(self) -> LeaseAttrs:
        return self.said

    def follow(self, interface: Interface, public: Addresses) -> None:
        self.calls.append(("follow", interface.name, str(public)))
        self.mtu, self.said = interface.mtu - 28, LeaseAttrs(public)

    def claim(self, subnet: Subnet) -> None:
        self.calls.append(("claim", str(subnet)))

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:
        self.peers, self.until = dict(peers), until
        self._reaches()

    def change(self, events: Sequence[PeerEvent]) -> None:
        for event in events:
            if isinstance(event, PeerAdded):
                self.peers[event.lease.subnet] = event.lease
            else:
                del self.peers[event.lease.subnet]
        self._reaches()

    def _reaches(self) -> None:
        self.calls.append(("peers", sorted(map(str, self.peers))))

    def extend(self, until: float) -> None:
        self.until = until

    def owned(self) -> Sequence[DesiredDevice]:
        return self.devices

    def wanted(self) -> Mapping[Slot, Entry]:
        return {}

    def broken(self) -> str:
        trouble, self.trouble = self.trouble, ""
        return trouble

    def repair(self) -> int:
        self.repairs += 1
        return 0

    def statistics(self) -> Statistics:
        return Statistics()

    def release(self) -> None:
        self.calls.append("release")

    def close(self) -> None:
        self.calls.append("close")


class RecordedFilters:
    """Filter rules that are written down."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def set(self, _network: NetworkConfig, subnet: Subnet, _wanted: object = None) -> None:
        self.calls.append(f"set {subnet}")

    def sync(self) -> int:
        self.calls.append("sync")
        return 1

    def follow_pods(self) -> int:
        self.calls.append("follow pods")
        return 0

    def dropped(self) -> Mapping[str, int]:
        return {"by a rule": 7}


class World:
    """A daemon and all around it."""

    def __init__(self, folder: Path) -> None:
        self.script = Script()
        self.etcd = MemoryEtcd(self.script.now)
        self.etcd.config = b'{ "Network": "10.2.0.0/16" }'
        self.registry = MemoryRegistry(self.etcd)
        self.backend = Recorder()
        self.subnet_file = folder / "flannel" / "subnet.env"
        self.rules = RecordedFilters()
        self.status = NetworkStatus()
        # Of the free subnets from 10.2.1.0/24 up: 10.2.35.0/24, and while that is taken 10.2.36.0/24.
        self.picked = iter([34, 34])

    def daemon(
        self,
        *,
        open_backend: Callable[[NetworkConfig], Backend] | None = None,
        advice: Callable[[], str] = lambda: "",
        **options: Any,
    ) -> NetworkDaemon:
        return NetworkDaemon(
            Options(**options),
            self.registry,
            open_backend=open_backend or (lambda _config: self.backend),
            subnet_file=self.subnet_file,
            location=Location("/coreos.com/network", "etcd has no key {} yet", (), advice),
            rules=self.rules,
            ready=lambda: self.backend.calls.append(("READY=1", self.subnet)),
            time=self.script,
            randrange=lambda _count: next(self.picked),
            status=self.status,
        )

    def run(self, **options: Any) -> None:
        with pytest.raises(Stop):
            self.daemon(**options).run()

    @property
    def subnet(self) -> str:
        return self.subnet_file.read_text().splitlines()[1]

    def holders(self) -> dict[str, str]:
        return {str(held.lease.subnet): str(held.lease.attrs.public) for held in self.etcd.snapshot().leases}
