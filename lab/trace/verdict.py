"""What state and evidence say together: first of all the hop that packets do not get past. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lab.trace.evidence import LATE, Evidence, Gap, Probes
from lab.trace.model import Component, Fault, Hop, Leg, Reason, Way
from lab.trace.witness import Kernel, Witness

__all__ = ["Diagnosis", "Trace", "diagnose", "doubtful", "is_explained", "words_of"]

NOTHING_SAID = Kernel()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that is wrong, where it is, and on what evidence."""

    leg: Leg
    place: str
    """A machine, or a container on it."""
    hop: Hop | None
    """None where no hop says what is wrong."""
    fault: Fault
    evidence: str
    """What was seen of the probes there."""
    seen: bool
    """Whether the probes show it as well."""


@dataclass(frozen=True, slots=True)
class Trace:
    """All that a trace has found."""

    there: Way
    back: Way
    probes: Probes
    evidence: tuple[Evidence, Evidence]
    diagnoses: tuple[Diagnosis, ...]
    """The one that matters first."""
    arrived: frozenset[int] = frozenset()
    """UDP: the probes that came to the destination, which need not answer."""
    notes: tuple[str, ...] = ()
    """Where state and evidence disagree, and what could not be read."""

    @property
    def delivered(self) -> bool:
        """Whether every probe was answered."""
        sent = set(self.probes.sizes)
        return bool(sent) and not self.probes.refused and (set(self.probes.answered) | self.arrived) >= sent

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.delivered and not self.diagnoses


def diagnose(
    there: Way,
    back: Way,
    probes: Probes,
    seen: tuple[Evidence, Evidence],
    notes: tuple[str, ...] = (),
    arrived: frozenset[int] = frozenset(),
    lab: str = "",
    kernel: Kernel = NOTHING_SAID,
) -> Trace:
    """What is wrong, and in which order it is told.

    First what ends all packets, where evidence shows it; then what else does by state, then what only some
    suffer from: each in the order of the way.
    `lab` is the option that names the lab in a command, with a blank before it; `kernel` is what that has
    itself said of these probes.
    """
    found: list[Diagnosis] = []
    ways: tuple[tuple[Leg, Way, Evidence], ...] = (("there", there, seen[0]), ("back", back, seen[1]))
    for leg, way, shown in ways:
        found += _of_state(leg, way, shown, probes.numbers(large=True), kernel)
    for leg, _, shown in ways:
        found += _of_kernel(leg, shown, kernel)
        found += _of_evidence(leg, shown, probes, lab, kernel)
    unexplained = [*notes, *_disagreements(ways, probes), *_of_two_minds(ways, kernel)]
    ordered = _causes_first(sorted(found, key=lambda item: _rank(item, probes)))
    return Trace(there, back, probes, seen, tuple(_once(ordered)), arrived, tuple(unexplained))


def doubtful(found: Trace) -> Gap | None:
    """Where packets are lost, and no table says why or a rule of a firewall alone: the kernel may know."""
    for shown in found.evidence:
        for gap in shown.gaps:
            if gap.lost and {hop.fault.reason for hop in gap.hops if hop.fault} <= {Reason.FW_RULE}:
                return gap
    return None


def is_explained(found: Trace) -> bool:
    """Whether for all that is lost there is a reason."""
    of_evidence = (it for it in found.diagnoses if it.hop is None or it.hop.fault is None)
    return not any(it.fault.reason in (Reason.LOST, Reason.MTU) for it in of_evidence)


def _causes_first(found: list[Diagnosis]) -> list[Diagnosis]:
    """A device that is down before the routes that are gone with it."""
    down = [item for item in found if item.fault.reason is Reason.LINK_DOWN]
    for item in down:
        machine = item.hop.machine if item.hop is not None else ""
        gone = [
            other
            for other in found
            if other.fault.reason in (Reason.NO_ROUTE, Reason.WRONG_ROUTE)
            and other.hop is not None
            and other.hop.machine == machine
        ]
        if gone and found.index(gone[0]) < found.index(item):
            found.remove(item)
            found.insert(found.index(gone[0]), item)
    return found


def _rank(item: Diagnosis, probes: Probes) -> int:
    """What kills, and is seen to, comes first; then what kills; then what only some suffer from, seen or not.

    What no state explains may be the work of what one does, further up: one that is changed is dropped later.
    """
    kills = item.fault.kills or (item.seen and not probes.answered)
    if kills:
        return 0 if item.seen else 1
    return 2 if item.fault.reason is not Reason.LOST else 3


def _once(found: list[Diagnosis]) -> Iterator[Diagnosis]:
    """One and the same thing is met on the way there and on the way back."""
    known = set()
    for item in found:
        key = (item.place, item.fault.reason, item.fault.fix)
        if key not in known:
            known.add(key)
            yield item


def _of_state(
    leg: Leg, way: Way, shown: Evidence, large: frozenset[int], kernel: Kernel
) -> Iterator[Diagnosis]:
    gaps = {id(hop): gap for gap in shown.gaps for hop in gap.hops}
    for hop, fault in way.faults():
        gap = gaps.get(id(hop))
        if fault.large_only and gap is not None and gap.came and large and not gap.came & large:
            continue  # none that it concerns has come so far
        if gap is None or not gap.came:
            yield Diagnosis(leg, hop.place, hop, fault, "no packet came as far as that", seen=False)
        else:
            same = sum(count for item, count in kernel.of(leg, gap) if item.fault.fix == fault.fix)
            agrees = f"; so says the kernel's own trace of {same}" if same else ""
            yield Diagnosis(leg, hop.place, hop, fault, words_of(gap) + agrees, seen=_suffers(gap))


def _suffers(gap: Gap) -> bool:
    return bool(gap.lost or gap.doubled or gap.changed or (gap.delay is not None and gap.delay >= LATE))


def _of_kernel(leg: Leg, shown: Evidence, kernel: Kernel) -> Iterator[Diagnosis]:
    """What the kernel says has ended packets, and no state does."""
    for gap in shown.gaps:
        known = {hop.fault.fix for hop in gap.hops if hop.fault is not None}
        for item, count in kernel.of(leg, gap):
            if item.fault.fix not in known:
                words = f"{words_of(gap)}; the kernel's own trace: {count} of them by this"
                fault = replace(item.fault, kills=gap.is_the_end)
                yield Diagnosis(leg, item.place, _firewall(gap, item), fault, words, seen=True)


def _firewall(gap: Gap, item: Witness) -> Hop | None:
    """The hop of a firewall that a rule is of; the last one of its namespace where none is told."""
    there = [hop for hop in gap.hops if (hop.machine, hop.namespace) == (item.machine, item.namespace)]
    rules = [hop for hop in there if hop.component is Component.FIREWALL and hop.fault is None]
    suspects = [hop for hop in rules if any(words in item.fault.found for words in hop.perhaps)]
    return next(iter([*suspects, *rules, *reversed(there)]), None)


def words_of(gap: Gap) -> str:
    """What became of the packets between two points."""
    after = gap.after.place if gap.after is not None else "the sender"
    before = gap.before.place if gap.before is not None else "the receiver"
    came = len(gap.came)
    words = [f"{came - len(gap.lost)} of {came} packets seen at {after} came to {before}"]
    if gap.delay is not None and gap.delay >= LATE:
        words.append(f"half of them took {gap.delay * 1000:.0f} ms or more")
    if gap.doubled:
        words.append(f"{gap.doubled} came twice")
    if gap.changed:
        words.append(f"{gap.changed} were changed")
    if gap.overtaken:
        words.append(f"{gap.overtaken} were overtaken")
    return "; ".join(words)


def _of_evidence(leg: Leg, shown: Evidence, probes: Probes, lab: str, kernel: Kernel) -> Iterator[Diagnosis]:
    """What the probes show and nothing explains."""
    for gap in shown.suffers():
        if any(hop.fault is not None for hop in gap.hops):
            continue
        known = sum(count for _, count in kernel.of(leg, gap))
        if gap.lost and known >= len(gap.lost):
            continue
        large = probes.numbers(large=True)
        only_large = bool(gap.lost) and gap.lost <= large
        hop = gap.hops[-1] if gap.hops else None
        place = (
            gap.after.machine if gap.after is not None else (hop.place if hop is not None else "the sender")
        )
        after = gap.after.place if gap.after is not None else "the sender"
        before = gap.before.place if gap.before is not None else "the receiver"
        reason = Reason.MTU if only_large else Reason.LOST
        size = f" of {probes.largest} bytes" if only_large else ""
        what = "are lost" if gap.lost else "suffer"
        last = gap.before or gap.after
        machine = last.machine if last is not None else gap.hops[-1].machine if gap.hops else ""
        look = f"lab exec{lab} {machine} -- nstat -a  # what its kernel has counted as dropped, and why"
        suspects = [words for each in gap.hops for words in each.perhaps] if gap.lost else []
        why = f"perhaps of {'; '.join(suspects)}" if suspects else "no table that was read says why"
        if known:
            why += f"; rules, as the kernel says, have dropped {known} of them"
        if reasons := kernel.why(leg, gap):
            told = ", ".join(f"{reason} (of {count})" for reason, count in reasons)
            why += f"; the kernel's own reason: {told}"
        yield Diagnosis(
            leg,
            place,
            hop,
            Fault(
                reason,
                f"all packets{size} that are seen at {after} to come to {before}",
                f"{len(gap.lost)} of {len(gap.came)} do not",
                f"packets{size} {what} between {after} and {before}; {why}",
                look,
                kills=gap.is_the_end,
                large_only=only_large,
            ),
            words_of(gap),
            seen=True,
        )


def _disagreements(ways: tuple[tuple[Leg, Way, Evidence], ...], probes: Probes) -> Iterator[str]:
    for leg, way, shown in ways:
        for hop, fault in way.faults():
            for gap in shown.gaps:
                passed = gap.came - gap.lost
                if fault.kills and passed and any(item is hop for item in gap.hops):
                    yield (
                        f"{leg}: by state nothing gets past {hop.place} ({fault.reason}: {fault.found}), "
                        f"yet {len(passed)} probes did"
                    )
        for place in shown.elsewhere:
            yield f"{leg}: probes were seen at {place} too, which is not on the way that state tells"
    for words, count in Counter(probes.refused.values()).items():
        yield f"the sender's kernel refused {count} probes: {words}"
    for words, count in Counter(words for _, words in probes.errors).items():
        yield f"{count} ICMP errors: {words}"


def _of_two_minds(ways: tuple[tuple[Leg, Way, Evidence], ...], kernel: Kernel) -> Iterator[str]:
    """Where state has a rule drop what the kernel says another one does, or none."""
    for leg, _, shown in ways:
        for gap in shown.gaps:
            by_state = [hop.fault for hop in gap.hops if hop.fault and hop.fault.reason is Reason.FW_RULE]
            said = [item.fault for item, _ in kernel.of(leg, gap)]
            if not (gap.lost and by_state and kernel.has_followed(gap)):
                continue
            if not {it.fix for it in by_state} & {it.fix for it in said}:
                other = f"it is {said[0].found}" if said else "no rule drops one"
                state = f"by state packets are dropped by {by_state[0].found}"
                yield f"{leg}: {state}; the kernel's own trace: {other}"
