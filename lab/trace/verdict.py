"""What state and evidence say together: first of all the hop that packets do not get past. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.trace.evidence import LATE, Evidence, Gap, Probes
from lab.trace.model import Fault, Hop, Reason, Way

__all__ = ["Diagnosis", "Trace", "diagnose", "unexplained"]

Leg = Literal["there", "back"]


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
) -> Trace:
    """What is wrong, and in which order it is told.

    First what ends all packets, where evidence shows it; then what state alone says, in the order of the way.
    `lab` is the option that names the lab in a command, with a blank before it.
    """
    found: list[Diagnosis] = []
    ways: tuple[tuple[Leg, Way, Evidence], ...] = (("there", there, seen[0]), ("back", back, seen[1]))
    for leg, way, shown in ways:
        found += _of_state(leg, way, shown, probes.numbers(large=True))
    told = {(item.leg, item.hop) for item in found if item.seen}
    for leg, _, shown in ways:
        found += [item for item in _of_evidence(leg, shown, probes, lab) if (item.leg, item.hop) not in told]
    unexplained = [*notes, *_disagreements(ways, probes)]
    ordered = _causes_first(sorted(found, key=lambda item: _rank(item, probes)))
    return Trace(there, back, probes, seen, tuple(_once(ordered)), arrived, tuple(unexplained))


def unexplained(found: Trace) -> str | None:
    """What became of packets that were all lost where no table says why; None where there are none."""
    lost = (it for it in found.diagnoses if it.fault.reason is Reason.LOST and it.fault.kills)
    return next((item.evidence for item in lost), None)


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
    """What kills, and is seen to, comes first; then what kills; then what only some suffer from.

    What no state explains may be the work of what one does, further up: one that is changed is dropped later.
    """
    kills = item.fault.kills or (item.seen and not probes.answered)
    if kills:
        return 0 if item.seen else 1
    explained = item.fault.reason is not Reason.LOST
    return 2 if item.seen and explained else 3 if explained else 4


def _once(found: list[Diagnosis]) -> Iterator[Diagnosis]:
    """One and the same thing is met on the way there and on the way back."""
    known = set()
    for item in found:
        key = (item.place, item.fault.reason, item.fault.fix)
        if key not in known:
            known.add(key)
            yield item


def _of_state(leg: Leg, way: Way, shown: Evidence, large: frozenset[int]) -> Iterator[Diagnosis]:
    gaps = {id(hop): gap for gap in shown.gaps for hop in gap.hops}
    for hop, fault in way.faults():
        gap = gaps.get(id(hop))
        if fault.large_only and gap is not None and gap.came and large and not gap.came & large:
            continue  # none that it concerns has come so far
        if gap is None or not gap.came:
            yield Diagnosis(leg, hop.place, hop, fault, "no packet came as far as that", seen=False)
        else:
            yield Diagnosis(leg, hop.place, hop, fault, _words(gap), seen=_suffers(gap))


def _suffers(gap: Gap) -> bool:
    return bool(gap.lost or gap.doubled or gap.changed or (gap.delay is not None and gap.delay >= LATE))


def _words(gap: Gap) -> str:
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


def _of_evidence(leg: Leg, shown: Evidence, probes: Probes, lab: str) -> Iterator[Diagnosis]:
    """What the probes show and no state explains."""
    for gap in shown.suffers():
        if any(hop.fault is not None for hop in gap.hops):
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
            _words(gap),
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
