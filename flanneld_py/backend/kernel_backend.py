"""What the backends share whose packets the kernel carries: its entries, kept as the leases say."""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from flanneld_py.backend.counters import device_statistics
from flanneld_py.backend.ledger import Ledger, Shared
from flanneld_py.backend.peer_next_hops import NextHops
from flanneld_py.backend.peers import Carried, Remark
from flanneld_py.kernel.desired import DesiredDevice
from flanneld_py.kernel.entries import Add, Change, Entry, Remove, Route, SeenEntry, Slot, plan, slot
from flanneld_py.kernel.stale import is_within
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, PeerEvent
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.runtime.clock import now
from flanneld_py.runtime.log_sampling import LogSample
from flanneld_py.runtime.once import Once
from flanneld_py.subnet import Addresses, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["KernelBackend", "Table", "outdone"]

E = TypeVar("E")

logger = logging.getLogger(__name__)

NAMED: Final = 3
"""Entries that a message names; the rest it counts."""


class Table(Protocol):
    """The kernel's routes, neighbours and FDB entries: `flanneld_py.kernel.table`, or a test's."""

    def perform(self, changes: Sequence[Change], /) -> list[tuple[Change, OSError]]:
        """Do all of it; what was refused, and in which words. Raises `OSError`."""

    def seen(self, devices: Collection[int], *, wanted: Container[Slot]) -> list[SeenEntry]:
        """What there is on these devices, in these slots, and with our mark. Raises `OSError`."""


class KernelBackend(ABC):
    """The part of a `backend.Backend` that keeps the kernel's entries as the leases say.

    A subclass says what a lease takes (`_carried`), and which devices are its own (`_devices`). Where that
    depends on how peers are reached, it gives `reached`.
    """

    def __init__(
        self, overlay: Subnet, interface: Interface, table: Table, reached: NextHops | None = None
    ) -> None:
        self._overlay = overlay
        self._interface = interface
        self._table = table
        self._reached = reached
        self._own = Subnet()
        self._ledger = Ledger()
        self._refused: dict[Change, int] = {}
        self._told = Once()
        self._log_sample = LogSample()
        self._repairs = 0

    # What a backend is made of

    @abstractmethod
    def attrs(self) -> LeaseAttrs:
        """See `Backend`."""

    def recall(self, said: LeaseAttrs) -> None:  # noqa: B027 (nothing to do is the rule)
        """See `Backend`. All that it says can be said anew."""

    def announcement(self) -> bytes:
        """See `Backend`."""
        return b""

    @abstractmethod
    def follow(self, interface: Interface, public: Addresses) -> None:
        """See `Backend`."""

    @abstractmethod
    def claim(self, subnet: Subnet) -> None:
        """See `Backend`."""

    @abstractmethod
    def owned(self) -> Sequence[DesiredDevice]:
        """See `Backend`."""

    @abstractmethod
    def broken(self) -> str:
        """See `Backend`."""

    @abstractmethod
    def _carried(self, lease: Lease) -> Carried:
        """What it takes to carry packets to a peer."""

    @abstractmethod
    def _devices(self) -> Mapping[str, int]:
        """Names and indices of the devices that are all our own."""

    def _explain(self, change: Change) -> str:  # noqa: ARG002 (a subclass looks at it)
        """Why the kernel may have refused it, where its own words do not say enough."""
        return ""

    # See `Backend`

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:  # noqa: ARG002
        """See `Backend`. What is left of peers of the past is taken away. The kernel knows no deadline."""
        self._ledger = Ledger()
        self._refused.clear()
        if self._reached is not None:
            self._reached.begin(peers.values())
        for lease in peers.values():
            self._put(lease)
        self._ledger.changes()  # the whole of it is compared instead
        done = self._reconcile()
        if stale := _beyond(done, self._ledger.wanted):
            logger.info("Removed stale entries of former peers: %s", self._names(stale))

    def change(self, events: Sequence[PeerEvent]) -> None:
        """See `Backend`."""
        if self._reached is not None:
            self._reached.learn(event.lease for event in events if isinstance(event, PeerAdded))
        for event in events:
            if isinstance(event, PeerAdded):
                self._put(event.lease)
            else:
                self._ledger.remove(event.lease.subnet)
                if self._reached is not None:
                    self._reached.forget(event.lease.subnet)
        self._perform(self._ledger.changes())

    def extend(self, until: float) -> None:  # noqa: B027 (nothing to do is the rule)
        """See `Backend`. The kernel knows no deadline."""

    def release(self) -> None:
        """See `Backend`. The devices stay, for the next lease."""
        self._ledger = Ledger()
        self._refused.clear()
        if self._reached is not None:
            self._reached.begin(())
        _, changes = self._compare()
        failed = self._table.perform(changes) if changes else []
        if failed:
            why = str(failed[0][1].strerror)
            more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
            raise OSError(failed[0][1].errno, self._with_names(why + more))

    def wanted(self) -> Mapping[Slot, Entry]:
        """See `Backend`."""
        return self._ledger.wanted

    def repair(self) -> int:
        """See `Backend`. What the kernel has refused is tried again, and its ways to peers are asked for."""
        self._follow_routes()
        before = dict(self._refused)
        done = self._reconcile()
        if recovered := [change for change in done if change in before]:
            logger.info("Now it has worked: %s", self._names(recovered))
        repaired = [change for change in done if change not in before]
        if repaired:
            logger.info("Repaired: %s", self._names(repaired))
        self._repairs += len(repaired)
        return len(repaired)

    def statistics(self) -> Statistics:
        """See `Backend`. The kernel counts by device, and since the device was made."""
        return device_statistics(self._devices().keys(), self._repairs)

    def close(self) -> None:  # noqa: B027
        """See `Backend`. The kernel goes on carrying packets, so that a restart loses none."""

    # The kernel

    def _follow_routes(self) -> None:
        """Peers that the machine's routes now lead to in another way may take other entries."""
        if self._reached is None:
            return
        for lease in self._reached.renew():
            self._put(lease)
        changes = self._ledger.changes()
        if changes:
            logger.info("The routes to peers have changed: %s", self._names(changes))
            self._perform(changes)

    def _put(self, lease: Lease) -> None:
        carried = self._carried(lease)
        for remark in carried.remarks:
            self._remark(remark)
        for shared in self._ledger.put(lease.subnet, carried.entries):
            self._remark(outdone(shared))

    def _reconcile(self) -> list[Change]:
        """Compare everything and put it right; what was changed, one change for each slot."""
        try:
            mine, changes = self._compare()
        except OSError as error:
            logger.error("Listing the kernel's routes and neighbours: %s. Retrying", error)  # noqa: TRY400
            return []
        self._refused = {change: self._refused[change] for change in changes if change in self._refused}
        put = {slot(change.entry): change for change in changes if isinstance(change, Add)}
        self._tell_of_foreign_routes([item.entry for item in mine if not item.ours], put)
        done = self._perform(changes)
        return [change for change in done if isinstance(change, Add) or slot(change.entry) not in put]

    def _compare(self) -> tuple[Sequence[SeenEntry], Sequence[Change]]:
        """What there is, and what makes it what is wanted. Raises `OSError`."""
        devices = self._devices()
        seen = self._table.seen(tuple(devices.values()), wanted=self._ledger.wanted)
        mine = [self._in_scope(item, devices.values()) for item in seen]
        return mine, plan(self._ledger.wanted, mine)

    def _tell_of_foreign_routes(self, foreign: Sequence[Entry], put: Mapping[Slot, Add]) -> None:
        """Warn of those that are about to be replaced, unless they say the same: an earlier flannel's."""
        pairs = [(entry, put[slot(entry)].entry) for entry in foreign if slot(entry) in put]
        wrong = [
            (str(old), str(new)) for old, new in pairs if isinstance(old, Route) and str(old) != str(new)
        ]
        for old, new in wrong[:NAMED]:
            logger.warning("%s", self._with_names(f"Replacing existing {old} with {new}"))
        if len(wrong) > NAMED:
            logger.warning("... and %d more that are replaced", len(wrong) - NAMED)

    def _in_scope(self, item: SeenEntry, devices: Collection[int]) -> SeenEntry:
        """Another network of this machine has a flanneld of its own, whose mark is the same."""
        entry = item.entry
        if not item.ours or entry.device in devices:
            return item
        if isinstance(entry, Route) and any(
            is_within(entry.destination, whole) for whole in self._overlay.networks
        ):
            return item
        return replace(item, ours=False)

    def _perform(self, changes: Sequence[Change]) -> list[Change]:
        """Do it, say what the kernel refuses that it did not refuse before, and answer what it did."""
        if not changes:
            return []
        try:
            failed = dict(self._table.perform(changes))
        except OSError as error:
            logger.error("Changing the kernel's routes and neighbours: %s. Retrying", error)  # noqa: TRY400
            return []
        news: list[Change] = []
        for change in changes:
            refusal = failed.get(change)
            if refusal is None:
                self._refused.pop(change, None)
            elif self._refused.get(change) != refusal.errno:
                self._refused[change] = refusal.errno or 0
                news.append(change)
        for change in news[:NAMED]:
            words, why = str(failed[change].strerror), self._explain(change)
            logger.error("%s", self._with_names(f"{words}: {why}" if why else words))
        if len(news) > NAMED:
            logger.error("... and %d more that the kernel refused; all are tried again", len(news) - NAMED)
        return [change for change in changes if change not in failed]

    # Words

    def _remark(self, remark: Remark) -> None:
        if self._told.is_new(remark.topic) and (text := self._log_sample.tell(remark.text, now())):
            logger.warning("%s", text)

    def _names(self, changes: Sequence[Change]) -> str:
        """The first few, and how many more."""
        named = ", ".join(str(change.entry) for change in changes[:NAMED])
        more = f" and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
        return self._with_names(named + more)

    def _with_names(self, text: str) -> str:
        """Devices by their names."""
        for name, index in (*self._devices().items(), (self._interface.name, self._interface.index)):
            text = re.sub(rf"dev #{index}\b", f"dev {name}", text)
        return text


def _beyond(changes: Sequence[Change], wanted: Mapping[Slot, Entry]) -> list[Change]:
    """Those that take away what nobody wants."""
    return [change for change in changes if isinstance(change, Remove) and slot(change.entry) not in wanted]


def outdone(shared: Shared[E]) -> Remark:
    """What to say of two peers that want one slot of the kernel."""
    winner, loser = shared.winner, shared.loser
    text = (
        f"The peers of {winner} and {loser} announce the same: {winner} has got the {shared.entry}, and "
        f"packets to {loser}, which needs the {shared.instead_of}, are lost. Is one a copy, or gone?"
    )
    return Remark(f"shared {winner} {loser}", text)
