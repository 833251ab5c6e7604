"""The picture of a run: bars for each way, with whiskers from the least to the greatest round."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.bench.figures import Metric, Results, Spread, spread, values
from lab.bench.plan import Place
from lab.bench.ways import Settings
from lab.chart import chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

PANELS: Sequence[tuple[Metric, str, bool]] = (
    (Metric.TCP1, "TCP, 1 stream\nGbit/s, more is better", False),
    (Metric.TCP4, "TCP, 4 streams\nGbit/s, more is better", False),
    (Metric.LARGE, "1200-byte UDP received\n1000 packets/s, more is better", False),
    (Metric.SMALL, "64-byte UDP received\n1000 packets/s, more is better", False),
    (Metric.ROUND_TRIP, "Round trip, median\nµs, logarithmic, less is better", True),
    (Metric.CPU_DAEMONS, "CPU of both daemons\nseconds per GB, less is better", False),
)
COLOURS: Mapping[Place, str] = {Place.HOST: "#1b6ca8", Place.POD: "#e08e2b"}
HEIGHT = 0.38
"""Of one bar. Each way has two side by side, and ways are 1 apart."""


def draw(results: Results, settings: Settings, path: Path) -> None:
    """Write PATH.svg and PATH.png."""
    from matplotlib.patches import Patch  # takes half a second, and few verbs need it

    with chart(path, height=2 + 0.72 * max(len(results.here), 3)) as figure:
        for axes, (metric, title, logarithmic) in zip(
            figure.subplots(2, 3, sharey=True).flat, PANELS, strict=True
        ):
            _panel(axes, results, metric, logarithmic)
            axes.set_title(title, loc="left", fontsize=9.5)
        handles = [Patch(color=COLOURS[place], label=place.value) for place in Place]
        figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
        cpu = results.machine.get("processors", "")
        figure.suptitle("From machine to machine, as network namespaces on one kernel", x=0.01, ha="left")
        figure.supxlabel(
            f"Bars: medians of {settings.rounds} interleaved rounds of {settings.seconds} s;"
            f" whiskers: least and greatest.  {results.machine.get('kernel', '')}, {cpu}",
            fontsize=8,
        )


def _panel(axes: "Axes", results: Results, metric: Metric, logarithmic: bool) -> None:
    greatest = 0.0
    for place in Place:
        shift = -HEIGHT / 2 if place is Place.HOST else HEIGHT / 2
        for number, way in enumerate(results.here):
            found = spread(values(results.samples, way.name, place, metric).values())
            if found is not None:
                greatest = max(greatest, found.high)
                _bar(axes, number + shift, found, metric.digits, COLOURS[place])
    axes.set_yticks(range(len(results.here)), [way.title for way in results.here])
    if not axes.yaxis_inverted():  # the axis is shared
        axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    if logarithmic:
        axes.set_xlim(1, max(greatest, 10) * 4)
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, (greatest or 1) * 1.22)


def _bar(axes: "Axes", at: float, found: Spread, digits: int, colour: str) -> None:
    axes.barh(at, found.median, HEIGHT, color=colour)
    axes.plot([found.low, found.high], [at, at], color="#222222", linewidth=1, solid_capstyle="butt")
    axes.annotate(
        f"{found.median:.{digits}f}",
        (max(found.high, found.median), at),
        (4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
    )
