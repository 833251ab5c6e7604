"""The search: round after round, until something does not hold; then its shortest reproduction."""

from collections.abc import Callable, Collection, Iterable, Iterator

from lab import threads
from lab.cluster import Lab
from lab.deadlines import SHUTDOWN, patience
from lab.errors import LabError
from lab.events import Reporter
from lab.node import Node
from lab.soak.evidence import Evidence
from lab.soak.invariants import telling, violations
from lab.soak.outcome import Outcome
from lab.soak.play import play
from lab.soak.schedule import Round
from lab.soak.settle import settle
from lab.soak.shrink import Enough, shrink

__all__ = ["TRIES", "restore", "search"]

TRIES = 12
"""Rounds that looking for the shortest reproduction may take."""

RIGHT = 60.0
"""Seconds that a lab has to be right before a round, and again after machines were rebooted."""


def search(
    lab: Lab,
    rounds: Iterable[Round],
    progress: Reporter,
    *,
    tries: int = TRIES,
    ignored: Collection[str] = (),
    judge: Callable[[Lab, Round, Reporter], Evidence] = play,
) -> Iterator[Outcome]:
    """Play the rounds, and answer what each came to; whoever asks ends the search by asking no more.

    Violations of kinds that are `ignored` are none. Raises `LabError` where the lab cannot be made right
    again.
    """
    wrong, known = False, set[str]()
    for number, planned in enumerate(rounds, 1):
        restore(lab, wrong=wrong)
        with progress.step(f"round {number}") as within:
            evidence = judge(lab, planned, within)
        wrong = bool(evidence.wrong)
        found = violations(lab.spec, evidence, ignored)
        for words in telling(found):  # at once: what follows takes long, and may be called off
            progress.note(words)
        shortest = None
        if found and tries and found[0].kind not in known:  # what comes after it, it explains
            known.add(found[0].kind)
            with progress.step(f"look for the shortest reproduction of {found[0].kind}") as within:
                shortest = _shortest(lab, planned, evidence, found[0].kind, tries, within, judge)
            wrong = True  # as it may be
        yield Outcome(number, planned, evidence, found, shortest)


def _shortest(
    lab: Lab,
    planned: Round,
    evidence: Evidence,
    kind: str,
    tries: int,
    progress: Reporter,
    judge: Callable[[Lab, Round, Reporter], Evidence],
) -> Round:
    wrong = bool(evidence.wrong)

    def again(smaller: Round) -> bool:
        nonlocal wrong
        try:
            restore(lab, wrong=wrong)
        except LabError as error:
            progress.note(error.message)
            raise Enough from error
        with progress.step(f"{len(smaller.faults)} of {len(planned.faults)} faults") as within:
            seen = judge(lab, smaller, within)
        wrong = bool(seen.wrong)
        return any(item.kind == kind for item in violations(lab.spec, seen))

    return shrink(planned, again, tries)


def restore(lab: Lab, *, wrong: bool = False) -> None:
    """Have every check hold: by itself, or after all machines were rebooted. Raises `LabError`.

    What is known to be `wrong` has had its time already. A flannel that misses others which start at the same
    moment is given a second chance, in which they start one after the other.
    """
    found = settle(lab, 0.0 if wrong else RIGHT * patience())
    for reboot in (_reboot_together, _reboot_in_turn):
        if not found:
            return
        reboot(lab)
        found = settle(lab, RIGHT * patience())
    if found:
        ids = ", ".join(dict.fromkeys(item.id for item in found))
        raise LabError(
            f"the lab {lab.name} cannot be made right again, not by a reboot of its machines either: {ids}",
            hint="Look at it: lab check; or begin with another lab.",
        )


def _reboot_together(lab: Lab) -> None:
    threads.each(_reboot, list(lab.nodes.values()))


def _reboot_in_turn(lab: Lab) -> None:
    for node in lab.nodes.values():
        _reboot(node)
        for unit in node.services:
            node.start_service(unit)


def _reboot(node: Node) -> None:
    node.engine.restart(node.container.id, timeout=round(SHUTDOWN.seconds))
