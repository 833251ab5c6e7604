"""Where each part of the picture of a lab is. Pure.

Networks are bars above one another, with their words to the left, where nothing else is. Machines stand below
them side by side, and hang on each of their networks by a line; pods stand below their machine. Each of
several engines is a frame around its machines, with its name at the bottom, where no line passes. Text is
taken to be as wide as the widest of the fonts that a browser may have.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.graph.model import Graph, Machine, Network, Pod, Port

__all__ = [
    "LINE",
    "Box",
    "Layout",
    "Line",
    "PlacedEngine",
    "PlacedMachine",
    "PlacedNetwork",
    "laid_out",
    "text_width",
]

CHARACTER = 0.62
"""Width of a character of a monospaced font, in parts of its size: DejaVu Sans Mono and Menlo have 0.602."""

SIZE, HEAD = 12, 14
"""Of text, and of names of machines; bold is as wide in these fonts."""

LINE = 17
PAD, GAP, MARGIN = 10, 18, 20
BAR = 8
TOP = 2 * LINE
"""Room for the title."""
OVER = 16
"""How far a bar goes on beyond the first and the last machine on it."""
DROP = 26
"""From the last bar to the machines, and from those to their pods."""
INDENT = 12
"""Of the line that leads to several pods, and of these from the line."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its end."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Likewise."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """Where a line ends that comes from above."""
        return self.x + self.width / 2

    def overlaps(self, other: "Box") -> bool:
        """Whether any point is in both."""
        apart = self.right <= other.x or other.right <= self.x
        return not (apart or self.bottom <= other.y or other.bottom <= self.y)


@dataclass(frozen=True, slots=True)
class PlacedNetwork:
    """A network: its words, a bar from the first machine on it to the last, and a leader between the two."""

    network: Network
    words: Box
    bar: Box
    leader: float
    """Where that begins; it ends where the bar does."""


@dataclass(frozen=True, slots=True)
class Line:
    """From one point to another, straight down or to the right."""

    x: float
    y: float
    to_x: float
    to_y: float


@dataclass(frozen=True, slots=True)
class PlacedMachine:
    """A machine, with its ports along its upper edge, its words, and its pods below it."""

    machine: Machine
    box: Box
    ports: tuple[tuple[Port, Box, Line], ...]
    """Each with the line from its network."""
    words: Box
    pods: tuple[tuple[Pod, Box], ...]
    legs: tuple[Line, ...]
    """From it to its pods."""

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Its own, and its pods'."""
        return (self.box, *(box for _, box in self.pods))


@dataclass(frozen=True, slots=True)
class PlacedEngine:
    """An engine: a frame around its machines."""

    title: str
    box: Box
    words: Box


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole picture."""

    title: Box
    networks: tuple[PlacedNetwork, ...]
    machines: tuple[PlacedMachine, ...]
    engines: tuple[PlacedEngine, ...]
    """None where there is one alone."""
    width: float
    height: float


def text_width(lines: Sequence[str], size: float = SIZE) -> float:
    """Room for the widest of them."""
    return max((len(line) for line in lines), default=0) * size * CHARACTER


def _height(lines: Sequence[str]) -> float:
    return len(lines) * LINE


def laid_out(graph: Graph) -> Layout:
    """Lay it out."""
    head = (graph.title, *graph.notes)
    title = Box(MARGIN, MARGIN, max(text_width(head), text_width(head[:1], HEAD)), _height(head))
    gutter = max(
        max(text_width(network.lines), text_width(network.lines[:1], HEAD)) for network in graph.networks
    )
    left = MARGIN + gutter + GAP
    words, y = [], title.bottom + LINE
    for network in graph.networks:
        words.append(Box(MARGIN, y, gutter, _height(network.lines)))
        y = words[-1].bottom + LINE / 2
    bars = {
        network.name: Box(left, box.y + LINE / 2 - BAR / 2, 0, BAR)
        for network, box in zip(graph.networks, words, strict=True)
    }
    machines: list[PlacedMachine] = []
    spans, x = {}, left + GAP
    for engine, every in graph.engines.items():
        start = x = x + (PAD if engine else 0)
        for machine in every:
            machines.append(_machine(machine, x, y + DROP - LINE, bars))
            x = max(item.right for item in machines[-1].boxes) + GAP
        if engine:
            x = max(x, start + text_width([_title(engine)]) + GAP) + PAD
            spans[engine] = (start, x - GAP - PAD)
    networks = tuple(
        PlacedNetwork(network, box, _bar(network, machines, bars[network.name]), left)
        for network, box in zip(graph.networks, words, strict=True)
    )
    bottom = max(item.bottom for machine in machines for item in machine.boxes)
    top = machines[0].box.y - PAD
    engines = tuple(_engine(name, start, end, top, bottom) for name, (start, end) in spans.items())
    bottom = max([bottom, *(engine.box.bottom for engine in engines)])
    return Layout(title, networks, tuple(machines), engines, max(x, title.right) + MARGIN, bottom + MARGIN)


def _title(engine: str) -> str:
    return f"engine {engine}"


def _engine(name: str, start: float, end: float, top: float, bottom: float) -> PlacedEngine:
    """Around what is between these, and the name below it."""
    words = Box(start, bottom + PAD / 2, end - start, LINE)
    box = Box(start - PAD, top, end - start + 2 * PAD, words.bottom + PAD / 2 - top)
    return PlacedEngine(_title(name), box, words)


def _bar(network: Network, machines: Sequence[PlacedMachine], box: Box) -> Box:
    """As long as the machines on it need."""
    every = (item for machine in machines for item in machine.ports)
    found = [line.x for port, _, line in every if port.network == network.name] or [box.x]
    start = min(found) - OVER
    return Box(start, box.y, max(found) + OVER - start, BAR)


def _machine(machine: Machine, x: float, y: float, bars: Mapping[str, Box]) -> PlacedMachine:
    widths = [text_width(port.lines) + 2 * PAD for port in machine.ports]
    inner = max(text_width(machine.lines), text_width((machine.name,), HEAD)) + 2 * PAD
    pods = max((text_width(pod.lines) + 2 * PAD for pod in machine.pods), default=0.0)
    if len(machine.pods) > 1:
        pods += 2 * INDENT
    own = max(sum(widths), inner, pods)
    height = max(_height(port.lines) for port in machine.ports) + PAD
    ports, at = [], x
    for port, width in zip(machine.ports, widths, strict=True):
        box = Box(at, y, width + (own - sum(widths)) / len(widths), height)
        ports.append((port, box, Line(box.middle, bars[port.network].y + BAR / 2, box.middle, y)))
        at = box.right
    words = Box(x + PAD, y + height + PAD / 2, own - 2 * PAD, LINE + _height(machine.lines))
    box = Box(x, y, own, height + words.height + 1.5 * PAD)
    placed = _pods(machine, box)
    return PlacedMachine(machine, box, tuple(ports), words, placed, tuple(_legs(box, placed)))


def _pods(machine: Machine, above: Box) -> tuple[tuple[Pod, Box], ...]:
    """One below the other; a single one in the middle."""
    found, y = [], above.bottom + DROP
    for pod in machine.pods:
        width = text_width(pod.lines) + 2 * PAD
        x = above.x + 2 * INDENT if len(machine.pods) > 1 else above.middle - width / 2
        found.append((pod, Box(x, y, width, _height(pod.lines) + PAD)))
        y = found[-1][1].bottom + PAD
    return tuple(found)


def _legs(above: Box, pods: Sequence[tuple[Pod, Box]]) -> Iterator[Line]:
    if len(pods) == 1:
        yield Line(above.middle, above.bottom, above.middle, pods[0][1].y)
        return
    x = above.x + INDENT
    for _, box in pods:
        middle = box.y + box.height / 2
        yield Line(x, middle, box.x, middle)
    if pods:
        yield Line(x, above.bottom, x, pods[-1][1].y + pods[-1][1].height / 2)
