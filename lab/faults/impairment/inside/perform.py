"""Makes what a plan wants and the kernel has not, and removes what no rule needs any more."""

import os
from collections.abc import Collection
from dataclasses import replace

from lab.faults.impairment.evidence import expected_code, expected_program, unwanted
from lab.faults.impairment.inside import bpf
from lab.faults.impairment.inside.delay_line import fork_line
from lab.faults.impairment.inside.kernel import (
    drain,
    end_lines,
    ip,
    make_pairs,
    observe_links,
    set_up_taps,
    tc,
)
from lab.faults.impairment.inside.records import Records
from lab.faults.impairment.inside.tap import open_tap
from lab.faults.impairment.pipeline import EXIT, HOLE, RETURNING, Pipeline, Xdp, impaired, is_ours
from lab.faults.impairment.seen import Seen, Signature
from lab.faults.impairment.xdp import NAME_PREFIX, program_name

__all__ = ["establish", "remove"]

QUEUES = frozenset({"netem", "tbf"})
"""Queueing disciplines of ours, which hold packets."""


def establish(new: Pipeline, seen: Seen) -> None:
    """Make all of it, what leads packets into it last. Raises `LabError`."""
    held = {tap.name: open_tap(tap.name, offloads=tap.offloads) for tap in new.taps}
    try:
        make_pairs(new.pairs)
        exits = {item.exit for item in new.devices if item.name != HOLE}
        tc(
            [
                *(f"qdisc add dev {name} clsact" for name in sorted(exits)),
                *(f"qdisc add dev {pair.name} root {pair.qdisc}" for pair in new.pairs if pair.qdisc),
                *(item.command() for item in new.filters if item.device in exits),
            ]
        )
        set_up_taps(new.taps)
        for tap in new.taps:
            fork_line(held.pop(tap.name), tap.impairment)
    finally:
        for descriptor in held.values():
            os.close(descriptor)
    outer = [item for item in new.filters if item.device not in exits]
    bare = [device for device in impaired(new) if "clsact" not in seen.qdiscs.get(device, ())]
    # First what lets pass that comes back, or it would go round in a circle.
    ordered = sorted(outer, key=lambda item: item.preference)
    tc([*(f"qdisc add dev {device} clsact" for device in bare), *(item.command() for item in ordered)])
    if new.xdp:
        now = replace(seen, links=observe_links())
        for xdp in new.xdp:
            _attach(xdp, now)


def _attach(xdp: Xdp, seen: Seen) -> None:
    code = expected_code(xdp, seen)
    descriptor = bpf.load(code, program_name(code))
    try:
        bpf.attach(seen.links[xdp.device].index, descriptor)
    finally:
        os.close(descriptor)


def remove(records: Records, before: Pipeline, after: Pipeline, seen: Seen) -> None:
    """Take away all of ours that the second does not have, as far as it is there; `before`: what was made."""
    outer = unwanted(before, after, seen)
    # What is still under way comes back, and has to be let pass until the last of it has.
    comes_back = [item for item in outer if item.target.startswith(RETURNING)]
    tc(_deletion(item) for item in outer if item not in comes_back)
    _change_programs(after, seen)
    left = seen.links.keys() - seen.held.keys() - after.links
    queues = {name for name in left if is_ours(name) and QUEUES & seen.qdiscs.get(name, frozenset())}
    drain(queues)
    if lines := [held for name, held in seen.held.items() if is_ours(name) and name not in after.links]:
        end_lines(lines)
        drain(queues)  # of another rule, behind these
    tc(_deletion(item) for item in comes_back)
    ip(f"link delete {name}" for name in sorted(left) if is_ours(name) and not name.endswith(EXIT))
    concerned = impaired(before) | {item.device for item in outer if not is_ours(item.device)}
    for device in sorted(concerned - impaired(after)):
        _return_clsact(records, device, seen, outer)


def _deletion(item: Signature) -> str:
    return f"filter delete dev {item.device} {item.hook} pref {item.preference}"


def _change_programs(after: Pipeline, seen: Seen) -> None:
    wanted = {xdp.device: xdp for xdp in after.xdp}
    for name, link in seen.links.items():
        if name in wanted and link.xdp != expected_program(wanted[name], seen):
            _attach(wanted[name], seen)
        elif name not in wanted and link.xdp.startswith(NAME_PREFIX):
            bpf.detach(link.index)


def _return_clsact(records: Records, device: str, seen: Seen, removed: Collection[Signature]) -> None:
    """Remove our clsact from a device, unless it was there before us, or somebody else uses it by now."""
    used = any(item.device == device and item not in removed for item in seen.filters)
    if "clsact" in seen.qdiscs.get(device, ()) and not used and not records.is_borrowed(device):
        tc([f"qdisc delete dev {device} clsact"])
    records.give_back(device)
