"""How the impairments in force are put into a node's kernel: which devices, filters and program. Pure.

A packet that matches is taken off its device, passes the steps of each impairment that it matches, one
impairment after the other, and is put back where it was taken:

    out:  eth0, clsact egress -> imp-outN -> step ... step -> eth0, which lets it pass: it comes from us
    in:   eth0, generic XDP ---> imp-inN --> step ... step -> eth0's ingress, which XDP does not see again

The junctions, imp-outN and imp-inN for the device of number N, are pairs of veth devices, and so is a step,
whose first device has a queueing discipline (tbf, netem), or has the kernel segment super-packets; or a step
is a tap with a process behind it, the delay line. Where a packet leaves an impairment, filters choose the
next one. Both places see what udp's fast path carries, and neither is a root qdisc, whose exchange would lose
packets.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from lab.errors import Unfit
from lab.faults.impairment.model import Direction, Impairment, Rule
from lab.faults.impairment.pipeline import HOLE, RETURNING, Filter, Interface, Pair, Pipeline, Tap, Xdp
from lab.faults.impairment.selector import ETH_P_IP, Key, Selector, selectors
from lab.faults.impairment.units import rate_text

__all__ = ["CUTS", "OTHERS", "Stage", "Way", "free_slot", "plan"]

CUTS, OTHERS = range(1, 40), range(40, 100)
"""Slots. What is cut need not pass anything else first."""

MOST = 600
"""Filters of one slot at one place. A filter's preference, 16 bits, is made of the slot and a number."""

FIRST, RELEASE = 100, 65_000
"""Preferences: of the first slot's filters, and of what takes all that no filter before has taken."""

QUEUE = 100_000
"""Packets that netem holds: at 1 Gbit/s more than a second's."""

BURST, PATIENCE = 0.01, 0.05
"""Seconds: how much of its rate tbf may send at once, and how long a packet may wait in it."""

FRAME = 1514
FEWEST = 2 * FRAME
"""Bytes in a burst: tbf drops for ever what is longer than that."""

EVERY_PACKET = (Key(0, 0, 0),)


class Way(StrEnum):
    """What delays, loses, doubles, reorders and corrupts."""

    NETEM = "netem"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Stage:
    """A rule in force: its slot says its place among the others."""

    rule: Rule
    slot: int
    way: Way


def free_slot(impairment: Impairment, taken: Iterable[int]) -> int:
    """A slot for another rule: behind the others of its kind. Raises `Unfit`."""
    slots, used = CUTS if impairment.cut else OTHERS, set(taken)
    behind = [slot for slot in slots if slot > max(used & set(slots), default=0)]
    free = behind or [slot for slot in slots if slot not in used]
    if not free:
        raise Unfit(f"{len(slots)} impairments of this kind are in force", hint="stop one of them")
    return free[0]


def plan(stages: Sequence[Stage], interfaces: Mapping[str, Interface]) -> Pipeline:
    """What these rules need, on these devices."""
    whole = Pipeline()
    for name in sorted({stage.rule.device for stage in stages}):
        of_device = sorted((it for it in stages if it.rule.device == name), key=lambda stage: stage.slot)
        interface = interfaces[name]
        out = [_side(stage, interface, outgoing=True) for stage in of_device if _goes(stage, Direction.OUT)]
        into = [_side(stage, interface, outgoing=False) for stage in of_device if _goes(stage, Direction.IN)]
        whole |= _outgoing(out, interface) | _incoming(into, interface)
    return whole


def _goes(stage: Stage, direction: Direction) -> bool:
    return stage.rule.match.direction in (Direction.BOTH, direction)


@dataclass(frozen=True, slots=True)
class _Side:
    """A stage in one direction."""

    slot: int
    which: tuple[Selector, ...]
    steps: tuple[Pair | Tap, ...]
    """None: what gets here is lost."""

    @property
    def entry(self) -> str:
        return self.steps[0].name if self.steps else HOLE

    @property
    def exit(self) -> str:
        return self.steps[-1].exit

    def inner(self) -> Iterable[Filter]:
        """From each step into the next."""
        for step, following in zip(self.steps, self.steps[1:], strict=False):
            yield _everything(step.exit, f"egress {following.name}", self.slot)

    def entrances(self, device: str, hook: str) -> Iterable[Filter]:
        """What brings packets here from a place."""
        for number, selector in enumerate(self.which):
            yield Filter(
                device, hook, FIRST + self.slot * MOST + number,
                "ip" if selector.ethertype == ETH_P_IP else "ipv6",
                selector.keys or EVERY_PACKET, f"egress {self.entry}", self.slot,
            )  # fmt: skip


def _side(stage: Stage, interface: Interface, *, outgoing: bool) -> _Side:
    which = selectors(stage.rule.match, outgoing=outgoing)
    if len(which) > MOST:
        hint = "name a network for many peers, or start several impairments"
        raise Unfit(f"{stage.rule.identifier}: {len(which)} filters; there is room for {MOST}", hint=hint)
    name = f"imp{stage.slot}{'o' if outgoing else 'i'}"
    return _Side(stage.slot, which, tuple(_steps(stage, name, "" if outgoing else interface.address)))


def _steps(stage: Stage, name: str, address: str) -> Iterable[Pair | Tap]:
    what = stage.rule.impairment
    if what.cut:
        return
    if what.rate:
        yield Pair(f"{name}-tbf", address, _tbf(what.rate))
    rest = what.without_rate()
    if rest is None:
        return
    if stage.way is Way.NETEM:
        if rest.befalls_single_packets:  # netem takes a super-packet for one
            yield Pair(f"{name}-seg", address, segments=True)
        yield Pair(f"{name}-netem", address, _netem(rest))
    else:
        yield Tap(f"{name}-line", address, rest)


def _tbf(rate: int) -> str:
    burst = max(FEWEST, round(rate / 8 * BURST))
    return f"tbf rate {rate_text(rate)} burst {burst}b latency {PATIENCE * 1000:.0f}ms"


def _netem(impairment: Impairment) -> str:
    """Our words are netem's, but that jitter has none there: it follows the delay."""
    return f"netem limit {QUEUE} {str(impairment).replace('jitter ', '')}"


def _outgoing(sides: Sequence[_Side], interface: Interface) -> Pipeline:
    """Also what is cut leaves the device: a filter that drops there tells the sender so (ENOBUFS)."""
    if not sides:
        return Pipeline()
    junction = Pair(f"imp-out{interface.index}")
    filters = [
        replace(it, target=f"egress {junction.name}")
        for side in sides
        for it in side.entrances(interface.name, "egress")
    ]
    back = f"egress {interface.name}"
    exits = [(side.exit, side.slot) for side in sides if side.steps] + [(junction.exit, 0)]
    filters += [_lets_pass(interface.name, name, slot) for name, slot in exits]
    return _through(junction, sides, back) | Pipeline(_hole(sides), filters=frozenset(filters))


def _incoming(sides: Sequence[_Side], interface: Interface) -> Pipeline:
    if not sides:
        return Pipeline()
    carrying = [side for side in sides if side.steps]
    junction = Pair(f"imp-in{interface.index}", interface.address)
    xdp = Xdp(
        interface.name,
        tuple(it for side in sides if not side.steps for it in side.which),
        tuple(it for side in carrying for it in side.which),
        junction.name if carrying else "",
    )
    through = _through(junction, carrying, f"ingress {interface.name}") if carrying else Pipeline()
    return through | Pipeline(xdp=frozenset({xdp}))


def _through(junction: Pair, sides: Sequence[_Side], back: str) -> Pipeline:
    """From a junction into every side that a packet matches, one after the other, and back."""
    steps = [step for side in sides for step in side.steps]
    filters = [it for side in sides for it in side.entrances(junction.exit, "ingress")]
    filters.append(_everything(junction.exit, back, 0))
    for side in sides:
        if side.steps:
            filters += _ways_on(side, sides, back)
    return Pipeline(
        frozenset({junction, *(step for step in steps if isinstance(step, Pair))}),
        frozenset(step for step in steps if isinstance(step, Tap)),
        frozenset(filters),
    )


def _hole(sides: Sequence[_Side]) -> frozenset[Pair]:
    return frozenset({Pair(HOLE)}) if any(not side.steps for side in sides) else frozenset()


def _ways_on(side: _Side, sides: Sequence[_Side], back: str) -> Iterable[Filter]:
    """Where packets go that leave an impairment: into a later one that they match, or back."""
    yield from side.inner()
    for later in sides:
        if later.slot > side.slot and later.steps:
            yield from later.entrances(side.exit, "ingress")
    yield _everything(side.exit, back, side.slot)


def _lets_pass(device: str, comes_from: str, slot: int) -> Filter:
    preference = slot or FIRST
    return Filter(device, "egress", preference, "all", EVERY_PACKET, f"{RETURNING}{comes_from}", slot)


def _everything(device: str, target: str, slot: int) -> Filter:
    return Filter(device, "ingress", RELEASE, "all", EVERY_PACKET, target, slot)
