"""What must be as before once everything has ended. Pure."""

from collections.abc import Iterator

from lab.soak import history
from lab.soak.evidence import Evidence
from lab.soak.invariants.model import RECOVERY, Violation
from lab.soak.recipes import RECIPES
from lab.soak.remains import differences
from lab.spec import LabSpec

__all__ = ["checks", "devices", "left", "panics", "remains", "subnets"]


def panics(_spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """Nothing panics."""
    for node, lines in evidence.panics.items():
        yield Violation("panic", node, "no program that panics", lines)


def left(_spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """Every fault can be ended."""
    for what in evidence.left:
        yield Violation("left", "the lab", "every fault to end", what)


def checks(_spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """Every check holds, and stays so."""
    for item in evidence.wrong:
        expected = f"within {RECOVERY:g} s of the last fault, {item.title}: {item.expected.text}"
        yield Violation(f"checks.{item.id}", str(item.subject), expected, item.seen.text)


def remains(_spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """No device, rule or process is left that was not there, and none of the first two is missing."""
    for node, before in evidence.remains_before.items():
        if node in evidence.remains_after and (seen := differences(before, evidence.remains_after[node])):
            yield Violation("remains", node, "the devices, rules and processes that it had", seen)


def devices(_spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """However often flanneld tries, it makes the devices that it had, and no other."""
    for node, before in evidence.remains_before.items():
        made = history.devices(evidence.lines, node) - set(before.devices)
        if others := sorted(name for name in made if name.startswith("flannel")):
            had = [name for name in before.devices if name.startswith("flannel")]
            expected = f"flanneld to make no device but {', '.join(had) or 'none'}"
            yield Violation("devices", node, expected, ", ".join(others))


def subnets(spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """A node keeps its subnet, unless something was done to leases."""
    done = [item.entry for item in evidence.applied if item.counts]
    if any(entry.fault not in RECIPES for entry in done):
        return
    moved = {
        node
        for entry in done
        if RECIPES[entry.fault].moves
        for node in entry.targets or [item.name for item in spec.nodes]
    }
    after = evidence.subnets_after
    for node, subnet in evidence.subnets_before.items():
        if node not in moved and node in after and after[node] != subnet:
            yield Violation("subnet", node, f"the subnet that it had, {subnet}", after[node] or "none")
