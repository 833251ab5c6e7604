"""What the kernel itself says of packets that are lost, against the hops that they are lost at. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab.trace import fixes
from lab.trace.drop_reasons import Dropped
from lab.trace.evidence import Gap
from lab.trace.machine import Machine
from lab.trace.model import Fault, Leg, Way
from lab.trace.packet import Address
from lab.trace.rule_trace import Ended, drop_of

__all__ = ["Kernel", "Why", "Witness", "of_reasons", "of_rules"]


@dataclass(frozen=True, slots=True)
class Witness:
    """One packet's end, and what has ended it."""

    leg: Leg
    machine: str
    namespace: str
    number: int | None
    """None for what carries a probe or an answer: which one is not told."""
    fault: Fault

    @property
    def place(self) -> str:
        """For a person."""
        return f"{self.machine}/{self.namespace}" if self.namespace else self.machine


@dataclass(frozen=True, slots=True)
class Why:
    """A reason of the kernel's to drop a packet, and where."""

    reason: str
    space: tuple[str, str] | None
    """The network namespace, as machine and name; None where it is none of those, or not known."""
    outside: bool = False
    """Whether it is none of the machines': where their host connects them, perhaps."""

    def __str__(self) -> str:
        if self.space is not None:
            return f"{self.reason} on {'/'.join(filter(None, self.space))}"
        return f"{self.reason} outside of the machines" if self.outside else self.reason


@dataclass(frozen=True, slots=True)
class Kernel:
    """All that it has said, and where it has been asked."""

    witnesses: tuple[Witness, ...] = ()
    followed: frozenset[tuple[str, str]] = field(default=frozenset())
    """The namespaces whose rules it has told of, as machine and name."""
    reasons: Mapping[tuple[Leg, int], "Why"] = field(default_factory=dict)
    """For what reasons it has dropped packets, by their way and number."""

    def of(self, leg: Leg, gap: Gap) -> Sequence[tuple[Witness, int]]:
        """What has ended packets that are lost between two points, each once, and how many; most first."""
        there = _spaces(gap)
        found: dict[Fault, list[Witness]] = {}
        for item in self.witnesses:
            is_here = item.leg == leg and (item.machine, item.namespace) in there
            if is_here and gap.lost and (item.number is None or item.number in gap.lost):
                found.setdefault(item.fault, []).append(item)
        most_first = sorted(found.values(), key=lambda items: -len(items))
        # A carrier's number is not known: it may be of one that is lost elsewhere.
        return [(items[0], min(len(items), len(gap.lost))) for items in most_first]

    def why(self, leg: Leg, gap: Gap) -> Sequence[tuple["Why", int]]:
        """For what reasons packets that are lost between two points were dropped there; most first."""
        there = _spaces(gap)
        known = [self.reasons[leg, number] for number in gap.lost if (leg, number) in self.reasons]
        return Counter(it for it in known if it.space is None or it.space in there).most_common()

    def has_followed(self, gap: Gap) -> bool:
        """Whether it would have told of a rule there."""
        return _spaces(gap) <= self.followed


def _spaces(gap: Gap) -> frozenset[tuple[str, str]]:
    """The network namespaces that are between two points."""
    points = [(it.machine, it.namespace) for it in (gap.after, gap.before) if it is not None]
    return frozenset([*points, *((hop.machine, hop.namespace) for hop in gap.hops)])


def of_rules(
    ended: Iterable[Ended], tables: Mapping[str, Machine], there: Way, back: Way
) -> Iterator[Witness]:
    """What rules have done, in the words of the machines' tables; a rule that has gone since is left out."""
    for item in ended:
        machine = tables.get(item.machine)
        here = machine.namespaces.get(item.namespace) if machine is not None else None
        found = drop_of(item, here.ruleset) if here is not None else None
        leg = _leg(item, tables, there, back)
        if here is None or found is None or leg is None:
            continue
        hook, drop = found
        way = there if leg == "there" else back
        what = way.packet if item.kind else f"what carries {way.packet}"
        fault = fixes.of_rule(here, hook, drop, what, item.how)
        yield Witness(leg, item.machine, item.namespace, item.number, fault)


def of_reasons(dropped: Iterable[Dropped], tables: Mapping[str, Machine]) -> Mapping[tuple[Leg, int], Why]:
    """The reason for each packet: the last one, as copies of it may have been dropped before."""
    spaces = {
        (machine.boot, space.inode): (name, inside)
        for name, machine in tables.items()
        for inside, space in machine.namespaces.items()
    }
    legs: Mapping[str, Leg] = {"probe": "there", "answer": "back"}
    found: dict[tuple[Leg, int], Why] = {}
    for it in dropped:
        if it.kind in legs and it.machine in tables:
            space = spaces.get((tables[it.machine].boot, it.inode))
            found[legs[it.kind], it.number] = Why(it.reason, space, it.inode != 0 and space is None)
    return found


def _leg(item: Ended, tables: Mapping[str, Machine], there: Way, back: Way) -> Leg | None:
    """Of which way a packet is; what carries another goes from machine to machine in the order of its way."""
    if item.kind in ("probe", "answer"):
        return "there" if item.kind == "probe" else "back"
    machines = [_owner(address, tables) for address in (item.source, item.destination)]
    return next((leg for leg, way in _legs(there, back) if _passes(way, machines)), None)


def _legs(there: Way, back: Way) -> Sequence[tuple[Leg, Way]]:
    return (("there", there), ("back", back))


def _owner(address: Address, tables: Mapping[str, Machine]) -> str:
    return next((name for name, it in tables.items() if it.own.with_address(address) is not None), "")


def _passes(way: Way, machines: Sequence[str]) -> bool:
    """Whether it comes to one machine, and later to the other."""
    order = list(dict.fromkeys(hop.machine for hop in way.hops))
    return all(it in order for it in machines) and order.index(machines[0]) < order.index(machines[1])
