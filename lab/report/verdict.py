"""In a line each, what a report's parts come to. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lab.checks.finding import failed
from lab.report.documents import Bench, Soak
from lab.report.model import Absent, Checked, Indexed, Report
from lab.report.phases import Timings
from lab.tutorial.step import Agreement, StepResult

__all__ = ["HOW", "Verdict", "verdicts"]

HOW: Mapping[str, str] = {
    "timings": "lab up --events FILE writes what happens, and lab report --events FILE reads it.",
    "soak": "lab soak --json > FILE, then lab report --soak FILE.",
    "bundles": "lab report --bundles DIR, or LAB_BUNDLES=DIR: the folder in which lab up, lab check and lab "
    "soak leave them.",
    "bench": "lab bench --output DIR, then lab report --bench DIR/bench.json.",
}
"""How a report gets the parts that are read from files."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one part comes to."""

    part: str
    """Its identifier in the page."""
    title: str
    words: str
    ok: bool | None
    """None: there is nothing to judge."""


def verdicts(report: Report) -> tuple[Verdict, ...]:
    """Of every part, in the page's order."""
    return tuple(_every(report))


def _every(report: Report) -> Iterator[Verdict]:
    yield _verdict("checks", "Checks", report.checks, _checks)
    yield _verdict("tutorial", "Tutorial", report.replay, _replay)
    yield _verdict("timings", "Timings", report.timings, _timings)
    yield _verdict("soak", "Soak", report.soak, _soak)
    yield _verdict("bundles", "Bundles", report.bundles, _bundles)
    yield _verdict("bench", "Benchmark", report.bench, _bench)


def _verdict(part: str, title: str, found: object, judge: Callable[..., tuple[bool | None, str]]) -> Verdict:
    ok, words = (None, f"not in this report: {found.why}") if isinstance(found, Absent) else judge(found)
    return Verdict(part, title, words, ok)


def _checks(found: Checked) -> tuple[bool | None, str]:
    wrong = len(failed(found.findings))
    if not wrong:
        return True, f"all {len(found.findings)} hold"
    return False, f"{wrong} of {len(found.findings)} do not hold"


def _replay(found: tuple[StepResult, ...]) -> tuple[bool | None, str]:
    wrong = sum(not result.ok for result in found)
    if wrong:
        return False, f"{wrong} of {len(found)} steps do not show what they must"
    counts = [
        f"{sum(result.agreement is each for result in found)} {words}"
        for each, words in {
            Agreement.SAME: "the same",
            Agreement.NORMALISED: "the same but for addresses",
            Agreement.DIFFERENT: "different on purpose",
        }.items()
    ]
    return True, f"{len(found)} steps as they must be: {', '.join(counts)}"


def _timings(found: Timings) -> tuple[bool | None, str]:
    if not found.phases:
        return None, "nothing was done: the lab was up already"
    if names := [step.name for step in found.failed]:
        return False, f"failed after {found.seconds:.1f} s: {', '.join(names)}"
    if over := [phase.title for phase in found.phases if not phase.well]:
        return False, f"{found.seconds:.1f} s, and not over: {', '.join(over)}"
    return True, f"lab up took {found.seconds:.1f} s"


def _soak(found: Soak) -> tuple[bool | None, str]:
    held = sum(each.held for each in found.rounds)
    if not found.rounds:
        return None, "no round was played to its end"
    return held == len(found.rounds), f"{held} of {len(found.rounds)} rounds held"


def _bundles(found: tuple[Indexed, ...]) -> tuple[bool | None, str]:
    """There is one when something was not right; or when somebody asked for one."""
    return None, f"{len(found)} in the folder" if found else "none was left: the folder has none"


def _bench(found: Bench) -> tuple[bool | None, str]:
    missed = sum(not target.met for target in found.targets)
    broken = len(found.failures) + sum(not each.equal for each in found.integrity)
    broken += sum(found.checksum_errors.values())
    words = f"{len(found.targets) - missed} of {len(found.targets)} targets met"
    words += f", {broken} measurements failed or carried wrong data" if broken else ""
    return not missed and not broken, words
