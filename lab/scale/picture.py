"""The curves of a run, over the number of nodes."""

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from lab.chart import chart
from lab.scale.faults import Manner
from lab.scale.figures import MB, Measured, Moment, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

Curve = tuple[str, Callable[[Measured], float | None]]


def _seconds(moment: Moment) -> Callable[[Measured], float | None]:
    return lambda found: None if (phase := found.phase(moment)) is None else phase.seconds


def _of(moment: Moment, what: str) -> Callable[[Measured], float | None]:
    return lambda found: None if (phase := found.phase(moment)) is None else float(getattr(phase, what))


def _size(what: str, unit: float) -> Callable[[Measured], float | None]:
    return lambda found: found.spread(what).median / unit if found.usage else None


def _scaled(curve: Callable[[Measured], float | None], unit: float) -> Callable[[Measured], float | None]:
    return lambda found: None if (value := curve(found)) is None else value / unit


PANELS: Sequence[tuple[str, Sequence[Curve]]] = (
    ("Start until all have all routes\nseconds", [("", _seconds(Moment.START))]),
    (
        "A change until all know it\nseconds",
        [
            ("one node more", _seconds(Moment.JOIN)),
            ("etcd killed and started", _seconds(Moment.RESTART)),
            ("a tenth die", _seconds(Moment.DEATH)),
        ],
    ),
    (
        "Processor time of one node\nseconds",
        [("its start", _of(Moment.START, "cpu")), ("etcd killed and started", _of(Moment.RESTART, "cpu"))],
    ),
    ("Memory of one node\nMB", [("PSS", _size("pss", MB)), ("RSS", _size("rss", MB))]),
    (
        "Sockets and threads of one node",
        [("sockets", _size("sockets", 1)), ("threads", _size("threads", 1))],
    ),
    (
        "etcd, until all have all routes",
        [
            ("processor time, s", _of(Moment.START, "etcd_cpu")),
            ("sent, MB", _scaled(_of(Moment.START, "sent"), MB)),
        ],
    ),
)
COLOURS = ("#1b6ca8", "#e08e2b", "#4b8b3b", "#a8324a", "#6a4c93", "#5b5b5b")
OF_CHANGES = 1
"""The panel that has the faults that were for a time, or once."""


def _panels(results: Results) -> Sequence[tuple[str, Sequence[Curve]]]:
    """Those that a run has."""
    panels = list(PANELS)
    title, curves = panels[OF_CHANGES]
    faults = [item.text for item in results.settings.faults if item.manner is not Manner.THROUGHOUT]
    panels[OF_CHANGES] = (title, [*curves, *((fault, _after(fault)) for fault in faults)])
    return panels


def _after(fault: str) -> Callable[[Measured], float | None]:
    return lambda found: next((phase.seconds for phase in found.phases if phase.fault == fault), None)


def draw(results: Results, path: Path) -> None:
    """Write PATH.svg and PATH.png."""
    with chart(path, height=6.4) as figure:
        for axes, (title, curves) in zip(figure.subplots(2, 3).flat, _panels(results), strict=True):
            _panel(axes, results.measured, curves)
            axes.set_title(title, loc="left", fontsize=9.5)
        settings, machine = results.settings, results.machine
        under = f"; under {', '.join(settings.in_force)}" if settings.in_force else ""
        figure.suptitle(
            f"{results.program.title}, {settings.backend}: nodes as network namespaces on one machine{under}",
            x=0.01,
            ha="left",
        )
        members = "1 member" if settings.members == 1 else f"{settings.members} members"
        figure.supxlabel(
            f"Nodes; etcd of {members}.  {machine.get('kernel', '')}, {machine.get('processors', '')}",
            fontsize=8,
        )


def _panel(axes: "Axes", measured: Sequence[Measured], curves: Sequence[Curve]) -> None:
    for (name, curve), colour in zip(curves, cycle(COLOURS), strict=False):
        points = [(found.nodes, value) for found in measured if (value := curve(found)) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=name or None)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
