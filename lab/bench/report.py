"""The text that a run prints, and its JSON document."""

from collections.abc import Mapping, Sequence

from lab.bench.figures import Metric, Results, Spread, ratios, spread, values
from lab.bench.plan import OFFERED, Place
from lab.bench.targets import judge
from lab.bench.ways import Settings, Way
from lab.render import table
from lab.render.documents import versioned

__all__ = ["camel", "document", "members", "short", "text"]


def bases(results: Results, metric: Metric) -> Sequence[Way]:
    """The ways that this metric is compared with, if measured; of several genuine ones the first."""
    found = {way.kind: way for way in reversed(results.here)}
    return [found[kind] for kind in metric.bases if kind in found]


def text(results: Results, settings: Settings, *, width: int | None = None) -> str:
    """For a person: a table for each metric, then everything else that was looked at."""
    parts = [
        "\n".join(f"{name}: {value}" for name, value in results.machine.items()),
        f"{settings.rounds} rounds of {settings.seconds} s, every way in each: median (least - greatest)."
        f" Ratios are of two values from the same round.\nUDP is offered at {OFFERED:,} datagrams a second.",
        *(_metric(results, metric, place, width) for metric in Metric for place in Place),
        _targets(results, width),
        _integrity(results, width),
        "\n".join(f"{_title(results, name)}: not here: {why}" for name, why in results.absent.items()),
        "\n".join(
            f"FAILED in round {item.round + 1}: {_title(results, item.way)}, {item.what}: {item.reason}"
            for item in results.failures
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _title(results: Results, name: str) -> str:
    return next(way.title for way in results.ways if way.name == name)


def _metric(results: Results, metric: Metric, place: Place, width: int | None) -> str:
    against = bases(results, metric)
    rows = []
    for way in results.here:
        found = spread(values(results.samples, way.name, place, metric).values())
        if found is None:
            continue
        terms = [
            _spread(spread(ratios(results.samples, way.name, base.name, place, metric)), 2)
            for base in against
        ]
        rows.append([way.title, _spread(found, metric.digits), *terms])
    if not rows:
        return ""
    header = [f"{metric.value}, {place.value}".upper(), metric.unit, *(f"x {base.title}" for base in against)]
    return table(header, rows, width)


def _spread(found: Spread | None, digits: int) -> str:
    if found is None:
        return "-"
    if found.count == 1:
        return f"{found.median:.{digits}f}"
    return f"{found.median:.{digits}f} ({found.low:.{digits}f} - {found.high:.{digits}f})"


def _targets(results: Results, width: int | None) -> str:
    rows = [
        [
            "ok" if item.met else "MISSED",
            f"{item.target.metric.value}, {item.target.place.value}",
            _title(results, item.way),
            f"x {_title(results, item.base)}" if item.base else item.target.metric.unit,
            f"{'>=' if item.target.at_least else '<='} {item.target.limit:.3g}",
            _spread(item.seen, 2),
        ]
        for item in judge(results)
    ]
    header = ["", "TARGET", "WAY", "IN TERMS OF", "WANTED", "SEEN"]
    return table(header, rows, width) if rows else ""


def _integrity(results: Results, width: int | None) -> str:
    rows = [
        [
            "ok" if item.equal else "FAILED",
            _title(results, item.way),
            item.place.value,
            f"SHA-256 of {item.amount / 1e6:.0f} MB both ways {'equal' if item.equal else 'DIFFERS'}",
        ]
        for item in results.integrity
    ]
    rows += [
        ["ok" if count == 0 else "FAILED", _title(results, name), "everywhere", f"{count} wrong checksums"]
        for name, count in results.checksum_errors.items()
    ]
    return table(["", "INTEGRITY", "PLACE", "SEEN"], rows, width) if rows else ""


def document(results: Results, settings: Settings) -> Mapping[str, object]:
    """The same as one JSON document, every single value included (docs/schemas/bench.json)."""
    return versioned(
        {
            "machine": {camel(name): value for name, value in results.machine.items()},
            "rounds": settings.rounds,
            "seconds": settings.seconds,
            "offered": OFFERED,
            "ways": [
                {"name": way.name, "title": way.title, "absent": results.absent.get(way.name)}
                for way in results.ways
            ],
            "figures": [
                item
                for metric in Metric
                for place in Place
                for way in results.here
                if (item := _figure(results, metric, place, way)) is not None
            ],
            "targets": [
                {
                    "way": item.way,
                    "inTermsOf": item.base or None,
                    "place": item.target.place.value,
                    "metric": item.target.metric.value,
                    "atLeast" if item.target.at_least else "atMost": item.target.limit,
                    "seen": {**members(item.seen), "count": item.seen.count},
                    "met": item.met,
                }
                for item in judge(results)
            ],
            "integrity": [
                {"way": item.way, "place": item.place.value, "bytes": item.amount, "equal": item.equal}
                for item in results.integrity
            ],
            "checksumErrors": dict(results.checksum_errors),
            "failures": [
                {"round": item.round, "way": item.way, "what": item.what, "reason": item.reason}
                for item in results.failures
            ],
        }
    )


def _figure(results: Results, metric: Metric, place: Place, way: Way) -> Mapping[str, object] | None:
    found = values(results.samples, way.name, place, metric)
    if not found:
        return None
    return {
        "metric": metric.value,
        "unit": metric.unit,
        "place": place.value,
        "way": way.name,
        **members(spread(found.values())),
        "values": {number + 1: short(value) for number, value in found.items()},
        "ratios": {
            base.name: members(spread(ratios(results.samples, way.name, base.name, place, metric)))
            for base in bases(results, metric)
        },
    }


def members(found: Spread | None) -> Mapping[str, object]:
    """A spread in a document."""
    if found is None:
        return {}
    return {
        "median": short(found.median),
        "least": short(found.low),
        "greatest": short(found.high),
    }


def camel(words: str) -> str:
    """`congestion control` as a key."""
    first, *others = words.split()
    return first + "".join(word.capitalize() for word in others)


def short(value: float) -> float:
    """Six digits: no measurement here has more."""
    return float(f"{value:.6g}")
