"""What is calculated from a run's values: medians and spreads, and ratios within the rounds."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from lab.bench.plan import Place
from lab.bench.ways import Way

__all__ = ["Failure", "Integrity", "Metric", "Results", "Sample", "Spread", "ratios", "spread", "values"]


class Metric(Enum):
    """A quantity; its value is the title that a person reads."""

    TCP1 = "TCP, 1 stream"
    TCP4 = "TCP, 4 streams"
    SMALL = "64-byte UDP received"
    SMALL_LOSS = "64-byte UDP lost"
    LARGE = "1200-byte UDP received"
    LARGE_LOSS = "1200-byte UDP lost"
    ROUND_TRIP = "round trip, median"
    ROUND_TRIP_99 = "round trip, 99th percentile"
    CPU_DAEMONS = "CPU of both daemons, TCP, 1 stream"
    CPU_MACHINE = "CPU of the whole machine, TCP, 1 stream"
    OUTAGE = "no traffic after kill -9 and a restart"

    @property
    def unit(self) -> str:
        """The unit of its values."""
        return UNITS[self]

    @property
    def bases(self) -> Sequence[str]:
        """The kinds of ways that it is compared with; none where their own values are next to nothing."""
        if self in (Metric.SMALL_LOSS, Metric.LARGE_LOSS, Metric.OUTAGE):
            return ()
        return ("genuine",) if self is Metric.CPU_DAEMONS else ("veth", "vxlan", "genuine")

    @property
    def digits(self) -> int:
        """Meaningful digits after the decimal point."""
        return DIGITS[self]


UNITS = {
    Metric.TCP1: "Gbit/s", Metric.TCP4: "Gbit/s", Metric.SMALL: "1000/s", Metric.SMALL_LOSS: "%",
    Metric.LARGE: "1000/s", Metric.LARGE_LOSS: "%", Metric.ROUND_TRIP: "µs", Metric.ROUND_TRIP_99: "µs",
    Metric.CPU_DAEMONS: "s/GB", Metric.CPU_MACHINE: "s/GB", Metric.OUTAGE: "s",
}  # fmt: skip
DIGITS = {
    Metric.TCP1: 2, Metric.TCP4: 2, Metric.SMALL: 0, Metric.SMALL_LOSS: 0, Metric.LARGE: 0,
    Metric.LARGE_LOSS: 0, Metric.ROUND_TRIP: 0, Metric.ROUND_TRIP_99: 0, Metric.CPU_DAEMONS: 2,
    Metric.CPU_MACHINE: 2, Metric.OUTAGE: 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One value that was measured, in the metric's unit."""

    round: int
    way: str
    place: Place
    metric: Metric
    value: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A measurement that failed, and why."""

    round: int
    way: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Integrity:
    """Streams in both directions at once: whether what arrived has the SHA-256 of what was sent."""

    way: str
    place: Place
    amount: int
    """Bytes, each way."""
    equal: bool


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that a run found."""

    ways: tuple[Way, ...]
    absent: Mapping[str, str]
    """Name of a way that is not possible on this machine -> why."""
    samples: tuple[Sample, ...]
    failures: tuple[Failure, ...] = ()
    integrity: tuple[Integrity, ...] = ()
    checksum_errors: Mapping[str, int] = field(default_factory=dict)
    """Name of a way -> wrong checksums that its machines and containers have counted."""
    machine: Mapping[str, str] = field(default_factory=dict)

    @property
    def here(self) -> tuple[Way, ...]:
        """The ways that were measured."""
        return tuple(way for way in self.ways if way.name not in self.absent)

    @property
    def sound(self) -> bool:
        """Whether every measurement succeeded, and all data arrived as it was sent."""
        intact = all(item.equal for item in self.integrity) and not any(self.checksum_errors.values())
        return intact and not self.failures


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of some values."""

    median: float
    low: float
    high: float
    count: int


def spread(found: Iterable[float]) -> Spread | None:
    """None if there are no values."""
    items = list(found)
    return Spread(statistics.median(items), min(items), max(items), len(items)) if items else None


def values(samples: Sequence[Sample], way: str, place: Place, metric: Metric) -> Mapping[int, float]:
    """Round -> the value of this way in it."""
    return {
        item.round: item.value
        for item in samples
        if item.way == way and item.place is place and item.metric is metric
    }


def ratios(samples: Sequence[Sample], way: str, base: str, place: Place, metric: Metric) -> Sequence[float]:
    """The ratio of this way's value to another's, for each round that has both and where it is not zero."""
    ours, theirs = values(samples, way, place, metric), values(samples, base, place, metric)
    return [ours[number] / theirs[number] for number in sorted(ours) if theirs.get(number)]
