"""The udp backend's targets, as medians of the ratios within rounds, and whether it met them."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.bench.figures import Metric, Results, Spread, ratios, spread, values
from lab.bench.plan import Place

__all__ = ["TARGETS", "Judged", "Target", "judge"]


@dataclass(frozen=True, slots=True)
class Target:
    """One way relative to another; `base` is empty for a plain value."""

    kind: str
    base: str
    place: Place
    metric: Metric
    limit: float
    at_least: bool = True
    """Whether the limit is a floor; a ceiling otherwise."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A target and the result."""

    target: Target
    way: str
    base: str
    seen: Spread

    @property
    def met(self) -> bool:
        """Whether the median meets the target."""
        seen, limit = self.seen.median, self.target.limit
        return seen >= limit if self.target.at_least else seen <= limit


HOST, POD = Place.HOST, Place.POD
SIXTH = 1 / 6

TARGETS = (
    Target("udp-offload", "genuine", HOST, Metric.TCP1, 6),
    Target("udp-offload", "genuine", HOST, Metric.CPU_DAEMONS, SIXTH, at_least=False),
    Target("udp-offload", "genuine", HOST, Metric.ROUND_TRIP_99, 1, at_least=False),
    Target("udp-offload", "genuine", POD, Metric.ROUND_TRIP_99, 1, at_least=False),
    Target("udp-fast", "genuine", HOST, Metric.TCP1, 20),
    Target("udp-fast", "vxlan", HOST, Metric.TCP1, 0.95),
    Target("udp-fast", "genuine", POD, Metric.TCP1, 12),
    Target("udp-fast", "vxlan", POD, Metric.TCP1, 0.5),
    Target("udp-fast", "genuine", HOST, Metric.ROUND_TRIP, 0.15, at_least=False),
    Target("udp-fast", "genuine", HOST, Metric.SMALL, 3),
    Target("udp-fast", "genuine", HOST, Metric.LARGE, 3),
    *(
        Target(mixed, "genuine", place, metric, 1)
        for mixed in ("to-genuine", "from-genuine")
        for place in Place
        for metric in (Metric.TCP1, Metric.TCP4, Metric.SMALL, Metric.LARGE)
    ),
    Target("udp-plain", "", POD, Metric.OUTAGE, 1.5, at_least=False),
    Target("udp-offload", "", POD, Metric.OUTAGE, 1.5, at_least=False),
    Target("udp-fast", "", POD, Metric.OUTAGE, 1.5, at_least=False),
)


def judge(results: Results) -> Sequence[Judged]:
    """Every target that the run has the values for.

    With several genuine flannelds, each is a base, and a mixed pair is compared with the one in it.
    """
    found = []
    for target in TARGETS:
        for way in (item for item in results.here if item.kind == target.kind):
            bases = [item for item in results.here if item.kind == target.base] if target.base else [way]
            genuine = [item for item in bases if item.name.rpartition("-")[2] == way.name.rpartition("-")[2]]
            for base in genuine if "genuine" in way.kind else bases:
                place, metric = target.place, target.metric
                seen = spread(
                    ratios(results.samples, way.name, base.name, place, metric)
                    if target.base
                    else values(results.samples, way.name, place, metric).values()
                )
                if seen is not None:
                    found.append(Judged(target, way.name, base.name if target.base else "", seen))
    return found
