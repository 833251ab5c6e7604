"""Which leases are peers': all valid ones, and of two that exclude each other the first.

"First" is the one whose key is older, so all machines agree, whatever they learned when. Pure; everything is
indexed, so that the cost of an event does not grow with thousands of leases, and tens of thousands that were
refused.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeAlias

from flanneld_py.lease.model import Lease, StoredLease
from flanneld_py.lease.validation import LeaseRefusal, LeaseRules, RefusalReason, covered, ends
from flanneld_py.subnet import Address, Network, Subnet

__all__ = ["Admission", "Refusals", "RefusedLease", "Transition"]

Transition: TypeAlias = tuple[Lease | None, Lease | None]
"""A peer before and after; None where there is none."""

_Order: TypeAlias = tuple[int, Subnet]


def _order(held: StoredLease) -> _Order:
    return held.created, held.lease.subnet


def _claims_the_same(one: StoredLease, other: StoredLease) -> bool:
    """The change between two states of one lease."""
    return one.created == other.created and one.lease.attrs.public == other.lease.attrs.public


@dataclass(frozen=True, slots=True)
class _Point:
    """What two leases claim and only one can have: an address, or the smaller of two networks."""

    fault: RefusalReason
    what: Address | Network


_AMONG_THEMSELVES: Final = {
    RefusalReason.ADDRESS: RefusalReason.SHARED,
    RefusalReason.COVERS: RefusalReason.ANOTHERS,
}
"""Leases with a public address inside one subnet share it; those that cover one address overlap."""


@dataclass(slots=True)
class _Queue:
    """Leases that wait for what `holder` has, in order. All claim `point`, which only one can have."""

    holder: Subnet
    point: _Point
    waiting: list[_Order] = field(default_factory=list)

    def refusal(self) -> LeaseRefusal:
        """Why those who wait are refused."""
        fault, what, holder = self.point.fault, self.point.what, self.holder
        match fault:
            case RefusalReason.SHARED:
                return LeaseRefusal(
                    fault, f"its public address {what} is that of {holder}, which was there first"
                )
            case RefusalReason.ADDRESS:
                return LeaseRefusal(fault, f"its public address {what} is inside another's subnet, {holder}")
            case RefusalReason.COVERS:
                return LeaseRefusal(fault, f"it covers {what}, the public address of {holder}")
        return LeaseRefusal(fault, f"it overlaps {holder}, which was there first")


@dataclass(slots=True)
class RefusedLease:
    """A lease that is not a peer's, by its own fault or because of another one, for which it waits."""

    held: StoredLease
    cause: LeaseRefusal | _Queue

    @property
    def refusal(self) -> LeaseRefusal:
        """Why."""
        return self.cause.refusal() if isinstance(self.cause, _Queue) else self.cause

    @property
    def fault(self) -> RefusalReason:
        """The kind of reason."""
        return self.cause.point.fault if isinstance(self.cause, _Queue) else self.cause.fault


@dataclass(frozen=True, slots=True)
class Refusals:
    """How many leases are refused, by fault, and some of them with the reason."""

    counts: Mapping[str, int] = field(default_factory=dict)
    some: tuple[tuple[Lease, str], ...] = ()


class _Ranges:
    """Subnets of one family, none of which overlaps another."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._of: dict[int, tuple[Subnet, Network]] = {}

    def put(self, network: Network, subnet: Subnet) -> None:
        start = int(network.network_address)
        insort(self._starts, start)
        self._of[start] = subnet, network

    def remove(self, network: Network) -> None:
        start = int(network.network_address)
        del self._of[start]
        del self._starts[bisect_left(self._starts, start)]

    def overlapping(self, first: int, last: int) -> Iterator[tuple[Subnet, Network]]:
        """All that contain one of these addresses, from the highest on."""
        for place in range(bisect_right(self._starts, last) - 1, -1, -1):
            subnet, network = self._of[self._starts[place]]
            if ends(network)[1] < first:
                return
            yield subnet, network


class Admission:
    """Leases that want to be peers, and those that are: `admitted`."""

    def __init__(self, rules: LeaseRules) -> None:
        self.rules = rules
        self.admitted: dict[Subnet, Lease] = {}
        self.refused: dict[Subnet, RefusedLease] = {}
        self.changes = 0
        """Of what is refused."""
        self.fresh: list[RefusedLease] = []
        """What was refused since this was last emptied, or is now refused for another fault."""
        self._faults: Counter[RefusalReason] = Counter()
        self._held: dict[Subnet, StoredLease] = {}  # the admitted ones
        self._holders: dict[Address, Subnet] = {}  # of public addresses
        self._inside: dict[int, list[int]] = {4: [], 6: []}  # those of them that the overlay covers
        self._ranges = {4: _Ranges(), 6: _Ranges()}
        self._queues: dict[Subnet, dict[_Point, _Queue]] = {}  # by the lease that they wait for
        self._before: dict[Subnet, Lease | None] = {}  # what one event touched
        self._freed: list[tuple[_Order, int, _Queue]] = []  # whose holder is gone: a heap, first the first

    @classmethod
    def of(cls, rules: LeaseRules, leases: Iterable[StoredLease]) -> "Admission":
        """Take over all of these at once."""
        made = cls(rules)
        for held in sorted(leases, key=_order):
            made.put(held)
        return made

    def put(self, held: StoredLease) -> list[Transition]:
        """A lease is new, or has changed; returns what that changes among peers."""
        subnet = held.lease.subnet
        known, refused = self._held.get(subnet), self.refused.get(subnet)
        if known is not None and _claims_the_same(known, held) and self.rules.unfit(held) is None:
            self._held[subnet], self.admitted[subnet] = held, held.lease
            return [(known.lease, held.lease)]
        self._forget(subnet)
        self._judge(held, refused)
        return self._settled()

    def remove(self, subnet: Subnet) -> list[Transition]:
        """A lease is gone; returns what that changes among peers."""
        self._forget(subnet)
        return self._settled()

    def refusals(self, some: int) -> Refusals:
        """What is refused now, with that many examples."""
        counts = {fault.value: count for fault, count in self._faults.items() if count}
        named = islice(self.refused.values(), some)
        return Refusals(counts, tuple((refused.held.lease, refused.refusal.reason) for refused in named))

    # One event

    def _settled(self) -> list[Transition]:
        """Judge again those that waited for what is free now, until nothing is; returns what that changed."""
        while self._freed:
            _, _, queue = heapq.heappop(self._freed)
            first = queue.waiting.pop(0)[1]
            refused = self.refused.pop(first)
            self._count(refused.fault, -1)
            holder = self._judge(refused.held, refused)
            if holder == first and queue.point.fault in _AMONG_THEMSELVES:
                fault = _AMONG_THEMSELVES[queue.point.fault]
                self._count(queue.point.fault, -len(queue.waiting))
                self._count(fault, len(queue.waiting))
                queue.point = _Point(fault, queue.point.what)
            if holder is None:
                self._free(queue)
            else:
                self._hand_over(queue, holder)
        touched, self._before = self._before, {}
        pairs = [(before, self.admitted.get(subnet)) for subnet, before in touched.items()]
        # Removals come first: the backend has room for one.
        return sorted((pair for pair in pairs if pair != (None, None)), key=lambda pair: pair[1] is not None)

    def _judge(self, held: StoredLease, before: RefusedLease | None) -> Subnet | None:
        """Admit it, instead of those that came after it, or refuse it; so far it is neither.

        `before` is how it was refused until now. Returns which lease has what it waited for; None if
        undecided.
        """
        subnet = held.lease.subnet
        if refusal := self.rules.unfit(held):
            self._refuse(held, refusal, before)
            return None
        rivals: list[tuple[Subnet, _Point]] = []
        for holder, point in self._rivals(held.lease):
            if _order(self._held[holder]) < _order(held):
                self._wait(held, holder, point, before)
                was = None if before is None else before.cause
                return holder if isinstance(was, _Queue) and was.point == point else None
            rivals.append((holder, point))
        for holder, point in rivals:
            if (later := self._held.get(holder)) is not None:  # it may claim several things
                self._forget(holder)
                self._wait(later, subnet, point, None)
        self._admit(held)
        return subnet

    def _refuse(self, held: StoredLease, cause: LeaseRefusal | _Queue, before: RefusedLease | None) -> None:
        refused = self.refused[held.lease.subnet] = RefusedLease(held, cause)
        self._count(refused.fault, 1)
        if before is None or before.fault is not refused.fault:
            self.fresh.append(refused)

    def _wait(self, held: StoredLease, holder: Subnet, point: _Point, before: RefusedLease | None) -> None:
        queue = self._queues.setdefault(holder, {}).setdefault(point, _Queue(holder, point))
        insort(queue.waiting, _order(held))
        self._refuse(held, queue, before)

    def _count(self, fault: RefusalReason, more: int) -> None:
        self._faults[fault] += more
        self.changes += 1

    def _free(self, queue: _Queue) -> None:
        if queue.waiting:
            heapq.heappush(self._freed, (queue.waiting[0], id(queue), queue))

    def _hand_over(self, queue: _Queue, holder: Subnet) -> None:
        """Those left in it wait for another lease from now on, which has what all of them claim."""
        if not queue.waiting:
            return
        queues = self._queues.setdefault(holder, {})
        there = queues.get(queue.point)
        if there is not None and len(there.waiting) > len(queue.waiting):
            queue, there = there, queue
        if there is not None:
            for _, subnet in there.waiting:
                self.refused[subnet].cause = queue
            queue.waiting = list(heapq.merge(queue.waiting, there.waiting))
        queue.holder, queues[queue.point] = holder, queue

    # What the leases claim

    def _rivals(self, lease: Lease) -> Iterator[tuple[Subnet, _Point]]:
        """Admitted leases that claim something that this one claims."""
        for address in self._public(lease):
            if (holder := self._holders.get(address)) is not None:
                yield holder, _Point(RefusalReason.SHARED, address)
            number = int(address)
            for holder, _ in self._ranges[address.version].overlapping(number, number):
                yield holder, _Point(RefusalReason.ADDRESS, address)
        for network in self._networks(lease):
            first, last = ends(network)
            for holder, other in self._ranges[network.version].overlapping(first, last):
                # Networks overlap only if one is inside the other.
                smaller = network if network.prefixlen >= other.prefixlen else other
                yield holder, _Point(RefusalReason.ANOTHERS, smaller)
            inside = self._inside[network.version]
            if inside and (place := covered(inside, network)) is not None:
                for number in inside[place : bisect_right(inside, last)]:
                    address = type(network.network_address)(number)
                    yield self._holders[address], _Point(RefusalReason.COVERS, address)

    def _admit(self, held: StoredLease) -> None:
        lease = held.lease
        self._before.setdefault(lease.subnet, None)
        self.admitted[lease.subnet], self._held[lease.subnet] = lease, held
        for network in self._networks(lease):
            self._ranges[network.version].put(network, lease.subnet)
        for address in self._public(lease):
            self._holders[address] = lease.subnet
            if self._is_inside(address):
                insort(self._inside[address.version], int(address))

    def _forget(self, subnet: Subnet) -> None:
        """Forget this lease; what it had is free."""
        if (refused := self.refused.pop(subnet, None)) is not None:
            self._count(refused.fault, -1)
            if isinstance(queue := refused.cause, _Queue):
                del queue.waiting[bisect_left(queue.waiting, _order(refused.held))]
                if not queue.waiting:
                    del self._queues[queue.holder][queue.point]
            return
        lease = self.admitted.pop(subnet, None)
        if lease is None:
            return
        self._before.setdefault(subnet, lease)
        del self._held[subnet]
        for network in self._networks(lease):
            self._ranges[network.version].remove(network)
        for address in self._public(lease):
            del self._holders[address]
            if self._is_inside(address):
                inside = self._inside[address.version]
                del inside[bisect_left(inside, int(address))]
        for queue in self._queues.pop(subnet, {}).values():
            self._free(queue)

    def _networks(self, lease: Lease) -> Iterator[Network]:
        """The subnet's, of the families that the network has."""
        network, subnet = self.rules.network, lease.subnet
        if network.ipv4 is not None and subnet.ipv4 is not None:
            yield subnet.ipv4
        if network.ipv6 is not None and subnet.ipv6 is not None:
            yield subnet.ipv6

    def _public(self, lease: Lease) -> Iterator[Address]:
        """The holder's public addresses, of the families that the network has."""
        network, public = self.rules.network, lease.attrs.public
        if network.ipv4 is not None and public.ipv4 is not None:
            yield public.ipv4
        if network.ipv6 is not None and public.ipv6 is not None:
            yield public.ipv6

    def _is_inside(self, address: Address) -> bool:
        whole = self.rules.network.overlay.ipv4 if address.version == 4 else self.rules.network.overlay.ipv6
        if whole is None:
            return False
        first, last = ends(whole)
        return first <= int(address) <= last
