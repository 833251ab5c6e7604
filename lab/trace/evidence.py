"""What was seen of probes on their way, against the way that state has told. Pure."""

import itertools
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab.trace.marks import Sighting
from lab.trace.model import Hop, Point, Way

__all__ = ["Evidence", "Gap", "Probes", "Seen", "evidence"]

LATE = 0.02
"""Seconds from which on half of the packets are called late between two points."""

FEW = 3
"""Packets at two points, below which nothing is said of their times."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What was sent, and what came of it."""

    sizes: Mapping[int, int]
    """Bytes of each probe that was sent, by its number."""
    answered: Mapping[int, float] = field(default_factory=dict)
    """Seconds, by number."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """Those that the sender's own kernel has refused, and why."""
    errors: tuple[tuple[int, str], ...] = ()
    """ICMP errors: the probe, and what was said by whom."""
    kinds: Mapping[int, str] = field(default_factory=dict)
    """What answered: reply, open, closed."""

    @property
    def largest(self) -> int:
        """Bytes of the largest ones."""
        return max([*self.sizes.values(), 0])

    def numbers(self, *, large: bool) -> frozenset[int]:
        """Of the largest size, or of all others."""
        few = len(set(self.sizes.values())) < 2
        return frozenset(
            number for number, size in self.sizes.items() if (size == self.largest and not few) == large
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen at a point of the way."""

    point: Point
    numbers: frozenset[int]
    doubled: int = 0
    """How many came more than once."""
    changed: int = 0
    """How many were not as they were sent."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Between two points of the way: what of the packets that came to one did not come to the other."""

    after: Point | None
    """None: the sender itself."""
    before: Point | None
    """None: the receiver itself."""
    came: frozenset[int]
    lost: frozenset[int]
    hops: tuple[Hop, ...]
    """What is decided between them."""
    delay: float | None = None
    """Seconds that half of them took, where one clock has told both."""
    doubled: int = 0
    changed: int = 0
    overtaken: int = 0

    @property
    def is_the_end(self) -> bool:
        """Whether nothing at all came through."""
        return bool(self.came) and self.came == self.lost

    @property
    def is_mended(self) -> bool:
        """Whether nothing came through at first, and from some moment on everything has.

        That the first one alone is lost may be chance.
        """
        passed = self.came - self.lost
        return len(self.lost) > 1 and bool(passed) and max(self.lost) < min(passed)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one way."""

    seen: tuple[Seen, ...]
    gaps: tuple[Gap, ...]
    """All of them, in the order of the way."""
    elsewhere: tuple[str, ...] = ()
    """Where the packets were seen too, off the way that state has told."""

    @property
    def stops(self) -> Gap | None:
        """Where all packets that came have ended."""
        return next((gap for gap in self.gaps if gap.is_the_end), None)

    def suffers(self) -> Iterator[Gap]:
        """Where some are lost, late, doubled or changed."""
        for gap in self.gaps:
            late = gap.delay is not None and gap.delay >= LATE
            if gap.lost or late or gap.doubled or gap.changed:
                yield gap


def evidence(
    way: Way,
    sightings: Collection[Sighting],
    sent: Collection[int],
    arrived: Collection[int],
    clocks: Mapping[str, str],
) -> Evidence:
    """What the sightings of one way, there or back, say. `arrived` are those that its end has acted on.

    `clocks` names each machine's clock; times by different ones are not compared.
    """
    at: dict[tuple[str, str, str, str], list[Sighting]] = {}
    for item in sightings:
        at.setdefault((item.machine, item.namespace, item.device, item.way), []).append(item)
    points = [_seen(point, at.get(_key(point), ())) for point in way.points]
    known = {_key(point) for point in way.points}
    elsewhere = tuple(sorted({_title(key) for key in at if key not in known and not _is_near(key, known)}))
    return Evidence(tuple(points), tuple(_gaps(way, points, at, sent, arrived, clocks)), elsewhere)


def _key(point: Point) -> tuple[str, str, str, str]:
    return point.machine, point.namespace, point.device, point.way


def _title(key: tuple[str, str, str, str]) -> str:
    return Point(*key).place


def _is_near(key: tuple[str, str, str, str], known: Collection[tuple[str, str, str, str]]) -> bool:
    """Whether a device is on the way, or on a machine's detour: only the machine is then compared."""
    return any(key[:2] == other[:2] for other in known)


def _seen(point: Point, found: Iterable[Sighting]) -> Seen:
    items = list(found)
    times = Counter(item.number for item in items)
    return Seen(
        point,
        frozenset(times),
        doubled=sum(1 for count in times.values() if count > 1),
        changed=len({item.number for item in items if not item.whole}),
    )


def _gaps(
    way: Way,
    points: Sequence[Seen],
    at: Mapping[tuple[str, str, str, str], Sequence[Sighting]],
    sent: Collection[int],
    arrived: Collection[int],
    clocks: Mapping[str, str],
) -> Iterator[Gap]:
    """From each point that packets came to, to the next one; what came later has passed all before it."""
    passed = [frozenset(sent)]
    for place in range(len(points)):
        later = frozenset[int]().union(*(it.numbers for it in points[place:]), arrived)
        passed.append(later & passed[0])
    passed.append(frozenset(arrived) & passed[0])
    hops = _between(way)
    last: Seen | None = None
    waiting: list[Hop] = []
    came = passed[0]
    for place, item in enumerate(points):
        waiting += hops[place]
        lost = came - passed[place + 1]
        if not item.numbers and (not lost or item.point.optional):
            continue  # a point that a fast path goes around, or that no tap has
        yield Gap(
            last.point if last is not None else None,
            item.point,
            came,
            lost,
            tuple(waiting),
            _delay(last, item, at, clocks),
            max(0, item.doubled - (last.doubled if last is not None else 0)),
            max(0, item.changed - (last.changed if last is not None else 0)),
            _overtaken(at.get(_key(item.point), ())),
        )
        last, waiting, came = item, [], passed[place + 1]
    yield Gap(
        last.point if last is not None else None,
        None,
        came,
        came - passed[-1],
        (*waiting, *hops[len(points)]),
    )


def _between(way: Way) -> list[list[Hop]]:
    """The hops before the first point, then those after each."""
    found: list[list[Hop]] = [[]]
    for step in way.steps:
        if isinstance(step, Point):
            found.append([])
        else:
            found[-1].append(step)
    return found


def _delay(
    last: Seen | None,
    item: Seen,
    at: Mapping[tuple[str, str, str, str], Sequence[Sighting]],
    clocks: Mapping[str, str],
) -> float | None:
    if last is None or clocks.get(last.point.machine) != clocks.get(item.point.machine):
        return None
    first = {it.number: it.at for it in reversed(at.get(_key(last.point), ()))}
    took = [it.at - first[it.number] for it in at.get(_key(item.point), ()) if it.number in first]
    return statistics.median(took) if len(took) >= FEW else None


def _overtaken(found: Sequence[Sighting]) -> int:
    numbers = [item.number for item in found]
    return sum(later < earlier for earlier, later in itertools.pairwise(numbers))
