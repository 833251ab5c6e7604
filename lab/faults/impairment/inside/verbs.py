"""What the program on a node is asked for: start, stop, clear, status."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lab.errors import Unfit
from lab.faults.impairment.evidence import missing, strays
from lab.faults.impairment.inside.kernel import has_netem, observe
from lab.faults.impairment.inside.perform import establish, remove
from lab.faults.impairment.inside.records import Records
from lab.faults.impairment.model import Direction, Impairment, Rule
from lab.faults.impairment.pipeline import Interface, Pipeline, impaired, is_ours
from lab.faults.impairment.plan import Stage, Way, free_slot, plan
from lab.faults.impairment.seen import Link, Seen
from lab.faults.impairment.status import Standing, Status
from lab.faults.impairment.xdp import NAME_PREFIX
from lab.suggest import similar

__all__ = ["clear", "start", "status", "stop"]


def _interfaces(stages: Iterable[Stage], seen: Seen) -> Mapping[str, Interface]:
    gone = Link(0, "", up=False, xdp="")
    devices = {stage.rule.device for stage in stages}
    links = {name: seen.links.get(name, gone) for name in devices}
    return {name: Interface(name, link.index, link.address) for name, link in links.items()}


def start(records: Records, rule: Rule, way: Way | None) -> None:
    """Put a rule in force. Raises `LabError`, and then nothing has changed."""
    stages, seen = records.stages(), observe()
    if rule.identifier in {stage.rule.identifier for stage in stages}:
        raise Unfit(f"an impairment {rule.identifier!r} was started already", hint="stop it first")
    slot = free_slot(rule.impairment, (stage.slot for stage in stages))
    stage = Stage(rule, slot, way or _way(rule.impairment, seen))
    everything = [*stages, stage]
    interfaces = _interfaces(everything, seen)
    before, after = plan(stages, interfaces), plan(everything, interfaces)
    _check_device(rule, before, seen)
    if "clsact" in seen.qdiscs.get(rule.device, ()) and rule.device not in impaired(before):
        records.borrow(rule.device)
    records.add(stage)
    try:
        establish(after - before, seen)
    except BaseException:
        remove(records, after, before, observe())
        records.remove(stage)
        raise


def _way(impairment: Impairment, seen: Seen) -> Way:
    is_asked = not impairment.cut and impairment.without_rate() is not None
    return Way.NETEM if is_asked and has_netem(seen) else Way.LINE


def _check_device(rule: Rule, before: Pipeline, seen: Seen) -> None:
    """Raise `Unfit` where something is on the device that we would have to touch."""
    device, link = rule.device, seen.links.get(rule.device)
    if link is None:
        there = sorted(name for name in seen.links if not is_ours(name))
        hint = f"what there is: {', '.join(there)}"
        raise Unfit(f"there is no device {device}{similar(device, there)}", hint=hint)
    if "ingress" in seen.qdiscs.get(device, ()):
        hint = f"tc qdisc delete dev {device} ingress, if nobody needs it"
        raise Unfit(
            f"{device} has a qdisc ingress that is not ours, beside which clsact cannot be", hint=hint
        )
    places = {(item.device, item.hook, item.preference) for item in before.filters}
    others = [it for it in seen.filters if it[:2] == (device, "egress") and it[:3] not in places]
    if others:
        hint = f"see tc filter show dev {device} egress"
        raise Unfit(f"{device} has {len(others)} filters at egress that are not ours", hint=hint)
    comes_in = rule.match.direction is not Direction.OUT
    if comes_in and link.xdp and not link.xdp.startswith(NAME_PREFIX):
        hint = f"see ip -details link show dev {device}"
        raise Unfit(f"{device} has an XDP program that is not ours, {link.xdp}", hint=hint)


def stop(records: Records, identifier: str) -> None:
    """Take a rule out. Raises `LabError`."""
    stages = records.stages()
    found = [stage for stage in stages if stage.rule.identifier == identifier]
    if not found:
        names = [stage.rule.identifier for stage in stages]
        hint = f"what there is: {', '.join(names) or 'none'}"
        raise Unfit(f"there is no impairment {identifier!r}{similar(identifier, names)}", hint=hint)
    rest = [stage for stage in stages if stage not in found]
    seen = observe()
    interfaces = _interfaces(stages, seen)
    remove(records, plan(stages, interfaces), plan(rest, interfaces), seen)
    records.remove(found[0])


def clear(records: Records) -> None:
    """Take everything out. Raises `LabError`."""
    stages, seen = records.stages(), observe()
    remove(records, plan(stages, _interfaces(stages, seen)), Pipeline(), seen)
    for stage in stages:
        records.remove(stage)


def status(records: Records) -> Status:
    """What was started, and what of it the kernel has."""
    stages, seen = records.stages(), observe()
    interfaces = _interfaces(stages, seen)
    whole = plan(stages, interfaces)
    rules = []
    for stage in stages:
        alone = plan([stage], interfaces)
        leads_here = frozenset(item for item in whole.filters if item.slot == stage.slot)
        needed = replace(alone, filters=alone.filters | leads_here)
        rules.append(Standing(stage.rule, stage.way.value, missing(needed, whole, seen)))
    return Status(tuple(rules), tuple(strays(whole, seen)))
