"""The search: round after round, until something does not hold; then its shortest reproduction."""

from collections.abc import Callable, Iterable, Iterator

from lab.cluster import Lab
from lab.deadlines import SHUTDOWN, patience
from lab.errors import LabError
from lab.events import Reporter
from lab.soak.evidence import Evidence
from lab.soak.invariants import violations
from lab.soak.outcome import Outcome
from lab.soak.play import play, settle
from lab.soak.schedule import Round
from lab.soak.shrink import shrink

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
    judge: Callable[[Lab, Round, Reporter], Evidence] = play,
) -> Iterator[Outcome]:
    """Play the rounds, and answer what each came to; whoever asks ends the search by asking no more.

    Raises `LabError` where the lab cannot be made right again.
    """
    for number, planned in enumerate(rounds, 1):
        restore(lab)
        with progress.step(f"round {number}") as within:
            evidence = judge(lab, planned, within)
        found = violations(lab.spec, evidence)
        for item in found:  # at once: what follows takes long, and may be called off
            progress.note(f"{item.kind}: {item.describe()}")
        shortest = None
        if found and tries:
            with progress.step("look for the shortest reproduction") as within:
                shortest = _shortest(lab, planned, found[0].kind, tries, within, judge)
        yield Outcome(number, planned, evidence, found, shortest)


def _shortest(
    lab: Lab,
    planned: Round,
    kind: str,
    tries: int,
    progress: Reporter,
    judge: Callable[[Lab, Round, Reporter], Evidence],
) -> Round:
    def again(smaller: Round) -> bool:
        restore(lab)
        with progress.step(f"{len(smaller.faults)} of {len(planned.faults)} faults") as within:
            seen = violations(lab.spec, judge(lab, smaller, within))
        return any(item.kind == kind for item in seen)

    return shrink(planned, again, tries)


def restore(lab: Lab) -> None:
    """Have every check hold: by itself, or after all machines were rebooted. Raises `LabError`."""
    if not settle(lab, RIGHT * patience()):
        return
    for node in lab.nodes.values():
        lab.engine.restart(node.container.id, timeout=round(SHUTDOWN.seconds))
    if wrong := settle(lab, RIGHT * patience()):
        ids = ", ".join(dict.fromkeys(item.id for item in wrong))
        raise LabError(
            f"the lab {lab.name} cannot be made right again, not by a reboot of its machines either: {ids}",
            hint="Look at it: lab check; or begin with another lab.",
        )
