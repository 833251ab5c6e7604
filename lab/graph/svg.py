"""The picture of a lab: one SVG, which needs nothing else, in light and in dark. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from lab.graph.layout import HEAD, LINE, PAD, Box, Line, PlacedEngine, PlacedMachine, PlacedNetwork, laid_out
from lab.graph.model import Graph

__all__ = ["svg"]

NETWORKS = 4
"""Colours of networks; a lab that has more begins again."""

LIGHT = {
    "paper": "#ffffff", "ink": "#1f2328", "faint": "#57606a", "edge": "#8c959f", "machine": "#f6f8fa",
    "pod": "#dafbe1", "pod-edge": "#1a7f37", "wrong": "#cf222e",
    "net0": "#0969da", "net1": "#bc4c00", "net2": "#8250df", "net3": "#1b7c83",
}  # fmt: skip
DARK = {
    "paper": "#0d1117", "ink": "#e6edf3", "faint": "#9198a1", "edge": "#6e7681", "machine": "#161b22",
    "pod": "#12261e", "pod-edge": "#3fb950", "wrong": "#ff7b72",
    "net0": "#58a6ff", "net1": "#f0883e", "net2": "#a371f7", "net3": "#39c5cf",
}  # fmt: skip

SHAPES = """\
    text { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
    text.head { font-size: 14px; font-weight: 700 }
    .ill { stroke-width: 2 } .leg { stroke-width: 1.5 } .wire { stroke-width: 2 } .dot { stroke-width: 2 }
    .leader { stroke-dasharray: 2 4 } .engine { fill: none; stroke-dasharray: 6 4 }"""


def _colours(palette: Mapping[str, str]) -> str:
    """The rules, written out: not every program that shows SVG knows variables."""
    fill = {"text": "ink", ".faint": "faint", ".paper": "paper", ".wrong": "wrong", ".pod": "pod"}
    fill |= {".machine": "machine", ".port": "paper"}
    stroke = {
        ".machine": "edge",
        ".engine": "edge",
        ".port": "edge",
        ".ill": "wrong",
        ".pod": "pod-edge",
        ".leg": "pod-edge",
    }
    for number in range(NETWORKS):
        name = f"net{number}"
        fill |= {f".bar.{name}": name, f".dot.{name}": name, f"text.{name}": name}
        stroke |= {f".wire.{name}": name, f".leader.{name}": name}
    stroke[".dot"] = "paper"
    rules = [f"{what} {{ fill: {palette[colour]} }}" for what, colour in fill.items()]
    rules += [f"{what} {{ stroke: {palette[colour]} }}" for what, colour in stroke.items()]
    return "\n".join(f"    {rule}" for rule in rules)


STYLE = f"""\
{SHAPES}
{_colours(LIGHT)}
    @media (prefers-color-scheme: dark) {{
{_colours(DARK)}
    }}"""


def svg(graph: Graph) -> str:
    """Draw it."""
    layout = laid_out(graph)
    width, height = round(layout.width), round(layout.height)
    names = ", ".join(machine.name for machine in graph.machines)
    colours = {network.name: f"net{number % NETWORKS}" for number, network in enumerate(graph.networks)}
    body = [
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
        *_words(layout.title, (graph.title, *graph.notes), "head", "faint"),
        *(line for engine in layout.engines for line in _engine(engine)),
        *(line for machine in layout.machines for line in _lines(machine, colours)),
        *(line for network in layout.networks for line in _network(network, colours)),
        *(line for machine in layout.machines for line in _machine(machine, colours)),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{escape(graph.title)}: {escape(names)}">',
            f"  <title>{escape(graph.title)}</title>",
            "  <style>",
            STYLE,
            "  </style>",
            *(f"  {line}" for line in body),
            "</svg>",
            "",
        ]
    )


def _engine(placed: PlacedEngine) -> Iterator[str]:
    yield _rect(placed.box, "engine", 10)
    yield from _words(placed.words, (placed.title,), "faint", "")


def _network(placed: PlacedNetwork, colours: Mapping[str, str]) -> Iterator[str]:
    colour, middle = colours[placed.network.name], placed.bar.y + placed.bar.height / 2
    yield _line(Line(placed.leader, middle, placed.bar.x, middle), f"leader {colour}")
    yield _rect(placed.bar, f"bar {colour}", 4)
    yield from _words(placed.words, placed.network.lines, f"head {colour}", "faint")


def _lines(placed: PlacedMachine, colours: Mapping[str, str]) -> Iterator[str]:
    """They are behind everything: a line passes behind the bars of other networks."""
    for port, _, line in placed.ports:
        yield _line(line, f"wire {colours[port.network]}")
    for line in placed.legs:
        yield _line(line, "leg")


def _machine(placed: PlacedMachine, colours: Mapping[str, str]) -> Iterator[str]:
    machine = placed.machine
    yield _rect(placed.box, "machine" if machine.well else "machine ill", 8)
    for port, box, line in placed.ports:
        yield f'<circle class="dot {colours[port.network]}" cx="{line.x:g}" cy="{line.y:g}" r="6"/>'
        yield _rect(box, "port", 6)
        yield from _words(_padded(box), port.lines, "", "faint")
    yield from _words(placed.words, (machine.name,), "head", "")
    below = Box(placed.words.x, placed.words.y + LINE, placed.words.width, placed.words.height - LINE)
    yield from _words(below, machine.lines, "", "faint" if machine.well else "wrong")
    for pod, box in placed.pods:
        yield _rect(box, "pod", 6)
        yield from _words(_padded(box), pod.lines, "", "faint")


def _padded(box: Box) -> Box:
    return Box(box.x + PAD, box.y + PAD / 2, box.width - 2 * PAD, box.height - PAD)


def _rect(box: Box, kind: str, radius: int) -> str:
    where = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
    return f'<rect class="{kind}" {where} rx="{radius}"/>'


def _line(line: Line, kind: str) -> str:
    where = f'x1="{line.x:g}" y1="{line.y:g}" x2="{line.to_x:g}" y2="{line.to_y:g}"'
    return f'<line class="{kind}" {where}/>'


def _words(box: Box, lines: Sequence[str], first: str, others: str) -> Iterable[str]:
    """Text from the upper left corner of a box; the first line in a class of its own."""
    for number, line in enumerate(lines):
        kind = first if number == 0 else others
        named = f' class="{kind}"' if kind else ""
        base = box.y + number * LINE + (LINE + HEAD) / 2 - 3
        yield f'<text{named} x="{box.x:g}" y="{base:g}">{escape(line)}</text>'
