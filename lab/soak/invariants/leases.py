"""What must hold of leases, and of the subnets that machines use, all the time. Pure."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface
from itertools import combinations

from lab.soak.evidence import Evidence
from lab.soak.history import Acting, Change, Said, acting, changes, said
from lab.soak.invariants.model import Violation, subjects
from lab.soak.recipes import RECIPES, blinded
from lab.soak.records import READY, spoken
from lab.soak.spans import Span, both, longest, without
from lab.spec import LabSpec

__all__ = ["is_whole", "overlaps", "overwrites", "readiness", "removals", "strays"]

HOLD = 5.0
"""Seconds for which two machines may use one subnet, or one what is not its lease, until it has given way."""

UNFIT = 10.0
"""Seconds for which a flanneld may be ready without a device: until it looks after its devices again."""

REMOVED = re.compile(r"[Ss]ubnet removed: (\d+\.\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class Story:
    """A round, as far as it is about leases."""

    spec: LabSpec
    evidence: Evidence

    @cached_property
    def changes(self) -> Sequence[Change]:
        """flannel's keys, from before the round on."""
        return [*self.evidence.leases_before, *changes(self.evidence.lines)]

    @cached_property
    def judged(self) -> bool:
        """Whether it is known what each of its faults does to leases, and all that became of them."""
        return is_whole(self.evidence) and all(item.entry.fault in RECIPES for item in self.evidence.applied)

    def until(self, node: str) -> float:
        """Up to when it is known what a machine did."""
        if node not in self.evidence.cut:
            return self.evidence.seconds
        return max((line.at for line in self.evidence.lines if line.node == node), default=0.0)

    def ready(self, node: str) -> Sequence[Said]:
        """What a flanneld said of its readiness."""
        return said(spoken(self.evidence.lines, node, READY), self.until(node))

    @cached_property
    def acting(self) -> Mapping[str, Sequence[Acting]]:
        """Which subnets each machine used, for how long."""
        device = self.spec.backend.device_name(self.spec.backend_config) or None
        lines, nodes = self.evidence.lines, [node.name for node in self.spec.minions]
        return {node: acting(lines, node, device, self.until(node), self.ready(node)) for node in nodes}

    def blind(self, *nodes: str) -> list[Span]:
        """When one of these flannelds may not have known what etcd holds, or not have been able to follow."""
        found = []
        for item in self.evidence.applied:
            whose = blinded(item.entry.fault)
            reaches = whose == "all" or (whose == "nodes" and subjects(self.spec, item) & {*nodes})
            if item.counts and reaches:
                found.append(Span(item.began - 1.0, item.ended + HOLD))
        return found

    def held(self, subnet: IPv4Address, address: str) -> list[Span]:
        """When the lease of a subnet was of the machine with this address."""
        end, since = self.evidence.seconds, None
        found = []
        for change in self.changes:
            if change.subnet != subnet:
                continue
            if since is not None:
                found.append(Span(since, change.at))
            since = change.at if change.holder == address else None
        return [*found, Span(since, end)] if since is not None else found


def is_whole(evidence: Evidence) -> bool:
    """Whether what etcd told in the round leads from the leases before it to those after it.

    Where a watch was begun anew, as after a compaction, changes may be missing; then nothing that depends on
    who held what when can be said.
    """
    if evidence.leases_after is None:
        return True
    told = [*evidence.leases_before, *changes(evidence.lines)]
    return _standing(told) == _standing(evidence.leases_after)


def _standing(told: Sequence[Change]) -> Mapping[IPv4Address, str | None]:
    """Who holds which subnet after these changes; None for a key that says nobody."""
    last = {change.subnet: change for change in told if change.subnet is not None}
    return {subnet: change.holder for subnet, change in last.items() if change.value is not None}


def overlaps(spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """No two machines use one subnet."""
    story = Story(spec, evidence)
    if not story.judged:
        return
    for one, other in combinations(story.acting, 2):
        for mine in story.acting[one]:
            same = [item.span for item in story.acting[other] if item.subnet == mine.subnet]
            worst = longest(without(both([mine.span], same), story.blind(one, other)))
            if worst is not None and worst.seconds > HOLD:
                expected = f"two subnets, but for {HOLD:g} s at most"
                seen = f"both used {mine.subnet} from {worst.begin:.1f} to {worst.end:.1f} s"
                yield Violation("overlap", f"{one}, {other}", expected, seen)


def strays(spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """What a machine uses is its lease."""
    story = Story(spec, evidence)
    if not story.judged:
        return
    for node, address in evidence.addresses.items():
        for used in story.acting.get(node, ()):
            bare = without([used.span], story.held(used.subnet, address))
            worst = longest(without(bare, story.blind(node)))
            if worst is not None and worst.seconds > HOLD:
                holder = _holder(story, used.subnet, worst.end) or "nobody"
                expected = f"to use only what it holds a lease of, but for {HOLD:g} s at most"
                seen = f"{used.subnet} from {worst.begin:.1f} to {worst.end:.1f} s, which {holder} held then"
                yield Violation("stray", node, expected, seen)


def _holder(story: Story, subnet: IPv4Address, at: float) -> str | None:
    known = [change for change in story.changes if change.subnet == subnet and change.at <= at]
    return known[-1].holder if known else None


def overwrites(spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """No flanneld writes over another machine's lease."""
    story = Story(spec, evidence)
    if not story.judged:
        return
    own = {address: node for node, address in evidence.addresses.items()}
    holders: dict[IPv4Address, str | None] = {}
    for change in story.changes:
        if change.subnet is None:
            continue
        before, now = holders.get(change.subnet), change.holder
        if now in own and before is not None and before != now:
            seen = f"at {change.at:.1f} s it wrote {change.key.rpartition('/')[2]}, which was of {before}"
            yield Violation("overwrite", own[now], "never to write over another machine's lease", seen)
        holders[change.subnet] = now


def removals(spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """No flanneld says that its own subnet was removed while it holds it."""
    story = Story(spec, evidence)
    for line in evidence.logs if story.judged else ():
        found = REMOVED.search(line.text or "")
        address = evidence.addresses.get(line.node)
        own = evidence.subnets_before.get(line.node)
        if found is None or address is None or not own:
            continue
        subnet = IPv4Interface(own).network.network_address
        held = story.held(subnet, address)
        steady = any(span.begin <= line.at - HOLD and line.at <= span.end for span in held)
        if IPv4Address(found[1]) == subnet and steady:
            seen = f"at {line.at:.1f} s: {line.text}"
            yield Violation("removal", line.node, "not to take its own subnet for removed", seen)


def readiness(spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """A flanneld that has lost its device does not stay ready."""
    story = Story(spec, evidence)
    for node, used in story.acting.items():
        ready = [item.span for item in story.ready(node) if (item.text or "").startswith("200")]
        paused = [
            Span(item.began - 1.0, item.ended + HOLD)
            for item in evidence.applied
            if item.entry.fault.endswith("pause") and node in subjects(spec, item)
        ]
        before = Span(-math.inf, 0.0)
        worst = longest(without(without(ready, [item.span for item in used]), [before, *paused]))
        if worst is not None and worst.seconds > UNFIT:
            seen = f"from {worst.begin:.1f} to {worst.end:.1f} s /readyz said 200"
            expected = f"not to be ready for more than {UNFIT:g} s without a subnet on its device"
            yield Violation("ready", node, expected, seen)
