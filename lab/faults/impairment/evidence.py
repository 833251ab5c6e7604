"""What is missing in a kernel of what is to be there, and what is there that nobody wants. Pure.

Nothing is believed to be in force because it was started: a device may have been replaced, rules flushed, a
delay line killed.
"""

from collections.abc import Iterator, Sequence

from lab.faults.impairment.pipeline import HOLE, Filter, Pair, Pipeline, Tap, Xdp, is_ours
from lab.faults.impairment.seen import Seen, Signature
from lab.faults.impairment.xdp import NAME_PREFIX, program, program_name

__all__ = ["expected_code", "expected_program", "missing", "strays", "unwanted"]

STOPPED = ("T", "t")
"""States of a process, proc_pid_stat(5)."""


def _leads_to_us(signature: Signature) -> bool:
    """Whether a filter sends packets into our devices, or lets pass what comes from them."""
    return is_ours(signature.target.partition(" ")[2])


def unwanted(before: Pipeline, after: Pipeline, seen: Seen) -> Sequence[Signature]:
    """The filters that are to go; not those of devices which themselves go.

    One whose target is gone is known by its place: the kernel does not tell any more where it led to.
    """
    made, wanted = ({_place(item) for item in whole.filters} for whole in (before, after))
    return [
        item
        for item in sorted(seen.filters)
        if (item.device in after.links or not is_ours(item.device))
        and (_place(item) in made or _leads_to_us(item))
        and _place(item) not in wanted
    ]


def _place(item: Filter | Signature) -> tuple[str, str, int]:
    return item.device, item.hook, item.preference


def missing(needed: Pipeline, xdp: Pipeline, seen: Seen) -> tuple[str, ...]:
    """What a rule needs and the kernel has not, in words; `xdp` has the programs of all rules together."""
    return (
        *(words for item in needed.devices for words in _of_device(item, seen)),
        *sorted({words for item in needed.filters for words in _of_filter(item, seen)}),
        *sorted(_of_program(needed, xdp, seen)),
    )


def _of_device(item: Pair | Tap, seen: Seen) -> Iterator[str]:
    return _of_tap(item, seen) if isinstance(item, Tap) else _of_pair(item, seen)


def _of_tap(tap: Tap, seen: Seen) -> Iterator[str]:
    held = seen.held.get(tap.name)
    if tap.name not in seen.links or held is None:
        yield f"the delay line {tap.name} has ended: what matches is lost"
    elif held.state in STOPPED:
        yield f"the delay line {tap.name} (process {held.pid}) is stopped: what matches waits"
    elif not seen.links[tap.name].up:
        yield f"the device {tap.name} is down: what matches is lost"
    elif tap.address and seen.links[tap.name].address != tap.address:
        yield _foreign(tap)


def _of_pair(pair: Pair, seen: Seen) -> Iterator[str]:
    ends = (pair.name,) if pair.name == HOLE else (pair.name, pair.exit)
    for name in ends:
        if name not in seen.links:
            yield f"the device {name} is gone"
        elif not seen.links[name].up:
            yield f"the device {name} is down"
    if pair.address and pair.exit in seen.links and seen.links[pair.exit].address != pair.address:
        yield _foreign(pair)
    kind = pair.qdisc.partition(" ")[0]
    if kind and pair.name in seen.links and kind not in seen.qdiscs.get(pair.name, frozenset()):
        yield f"the device {pair.name} has no {kind}"


def _foreign(item: Pair | Tap) -> str:
    """What a machine takes in by another device than it was sent to, it takes for somebody else's."""
    return f"{item.exit} has not the impaired device's address, which has changed: what comes in is lost"


def _of_filter(item: Filter, seen: Seen) -> Iterator[str]:
    if item.device not in seen.links:
        if not is_ours(item.device):
            yield f"the device {item.device} is gone"
    elif not seen.has(item):
        yield f"{item.device} has lost its filters at {item.hook}"


def _of_program(needed: Pipeline, whole: Pipeline, seen: Seen) -> set[str]:
    concerned = {xdp.device for xdp in needed.xdp}
    lost = set()
    for xdp in whole.xdp:
        if xdp.device not in concerned:
            continue
        link = seen.links.get(xdp.device)
        if link is None:
            lost.add(f"the device {xdp.device} is gone")
        elif link.xdp != expected_program(xdp, seen):
            lost.add(f"{xdp.device} has lost its XDP program, or has another one ({link.xdp or 'none'})")
    return lost


def expected_code(xdp: Xdp, seen: Seen) -> bytes:
    """The program that a device is to have, given the numbers that our devices have."""
    to = seen.links.get(xdp.to)
    return program(xdp.drop, xdp.take, to.index if to else 0)


def expected_program(xdp: Xdp, seen: Seen) -> str:
    """Its name."""
    return program_name(expected_code(xdp, seen))


def strays(whole: Pipeline, seen: Seen) -> Sequence[str]:
    """What is ours, and no rule needs it."""
    devices = [f"the device {name}" for name in seen.links if is_ours(name) and name not in whole.links]
    filters = {f"filters on {item.device} at {item.hook}" for item in unwanted(Pipeline(), whole, seen)}
    impaired = {xdp.device for xdp in whole.xdp}
    programs = [
        f"the XDP program {link.xdp} on {name}"
        for name, link in seen.links.items()
        if link.xdp.startswith(NAME_PREFIX) and name not in impaired
    ]
    return sorted([*devices, *filters, *programs])
