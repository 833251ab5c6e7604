"""The verb that searches for bugs: soak."""

import itertools
import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import click

from lab import lock
from lab.bundle.destination import Destination
from lab.bundle.recording import recording
from lab.cli import complete
from lab.cli.bundles import bundle_option, explain
from lab.cli.common import as_json, echo, file_option, given, lab_name, print_json
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import LabError, Unfit
from lab.events import Reporter
from lab.faults import control
from lab.faults.options import duration
from lab.progress import on_terminal
from lab.render import soak as render
from lab.soak import generate, schedule
from lab.soak.evidence import Evidence
from lab.soak.invariants import violations
from lab.soak.outcome import Outcome
from lab.soak.play import play
from lab.soak.schedule import Round, Schedule
from lab.soak.search import TRIES, search
from lab.soak.timeline import events, shown

__all__ = ["COMMANDS"]

ROUNDS = 5


@click.command()
@click.option("--seed", type=click.IntRange(0), help="Draw the same faults again  [default: a new one]")
@click.option("--rounds", type=click.IntRange(1), help=f"How many rounds  [default: {ROUNDS}]")
@click.option(
    "--for",
    "seconds",
    metavar="TIME",
    callback=given("--for", duration),
    help="Instead: as many rounds as begin within this time, such as 10m.",
)
@click.option(
    "--faults",
    metavar="NAME[=WEIGHT],...",
    shell_complete=complete.drawn_faults,
    callback=given("--faults", generate.weights),
    help="Only these faults; one with the weight 3 comes as often as three with 1.",
)
@file_option(
    "--replay",
    what="Play the schedule in this file instead.",
)
@file_option(
    "-o",
    "--output",
    what="Write the shortest failing schedule there.",
)
@click.option(
    "--tries",
    type=click.IntRange(0),
    default=TRIES,
    show_default=True,
    help="Rounds that looking for the shortest reproduction may take; 0: do not look.",
)
@click.option(
    "--ignore",
    "ignored",
    metavar="KIND,...",
    default="",
    help="Violations that are known, such as panic, or 'checks.*'.",
)
@click.option("--keep-going", is_flag=True, help="Go on after something did not hold.")
@click.option("--no-packets", is_flag=True, help="Have machines keep no packets for bundles.")
@bundle_option
@click.option("--dry-run", is_flag=True, help="Print the schedule, and do nothing.")
@lab_name
@as_json
def soak(
    seed: int | None,
    rounds: int | None,
    seconds: float | None,
    faults: Mapping[str, float] | None,
    replay: Path | None,
    output: Path | None,
    tries: int,
    ignored: str,
    keep_going: bool,
    no_packets: bool,
    into: Destination | None,
    dry_run: bool,
    name: str,
    json_: bool,
) -> int:
    """Search for bugs in a lab that is up: random faults in rounds, and what must hold all the same.

    In each round faults overlap; then all are ended, and within 15 s every check has to hold again. Meanwhile
    there is traffic between all machines, of which nothing must be lost that no fault may touch, and what
    becomes of leases and subnets is written down. When something does not hold, the faults are played again
    and again in parts, until the fewest are left with which it comes again. The lab is the search's alone.
    """
    drawn = {"--seed": seed is not None, "--rounds": rounds is not None, "--faults": bool(faults)}
    _refuse("--replay", replay is not None, {**drawn, "--for": seconds is not None})
    _refuse("--for", seconds is not None, {"--rounds": rounds is not None, "--dry-run": dry_run})
    engine = Engine.connect()
    lab = Lab.get(engine, name)
    if replay is not None:
        given_schedule = schedule.read(replay)
        schedule.require_fit(given_schedule, control.setting_of(lab), str(replay))
        planned = iter(given_schedule.rounds)
    else:
        seed = random.randrange(10**6) if seed is None else seed  # noqa: S311 - any will do
        planned = _drawn(lab, seed, faults)
        planned = itertools.islice(planned, rounds or ROUNDS) if seconds is None else _for(planned, seconds)
    if dry_run:
        echo(schedule.written(Schedule(seed=seed, rounds=tuple(planned))).rstrip())
        return 0
    outcomes: list[Outcome] = []
    known = tuple(word for word in ignored.split(",") if word)
    explained = _Explained(into, outcomes, known)
    with (
        lock.held(engine.id, name),
        on_terminal() as progress,
        nullcontext() if no_packets else recording(lab, progress),
    ):
        if seed is not None:
            progress.note(f"seed {seed}")
        found = search(lab, planned, progress, tries=tries, ignored=known, judge=explained.play)
        ended = _follow(found, progress, outcomes, keep_going=keep_going)
    failed = [outcome for outcome in outcomes if outcome.violations]
    if failed and output is not None:
        _write(output, tuple(outcome.shortest or outcome.planned for outcome in failed))
    if json_:
        print_json(render.document(outcomes, seed))
    else:
        echo(render.report(outcomes))
    if ended is not None:
        raise ended
    return 1 if failed else 0


def _follow(
    found: Iterator[Outcome], progress: Reporter, outcomes: list[Outcome], *, keep_going: bool
) -> LabError | None:
    """Add what each round came to; the error that ended the search, which is to be told last."""
    try:
        for outcome in found:
            outcomes.append(outcome)
            progress.note(render.line(outcome))
            if outcome.violations and not keep_going:
                break
    except LabError as error:
        return error
    return None


class _Explained:
    """Plays rounds, and leaves a bundle about each that does not hold, before it is played again in parts."""

    def __init__(self, into: Destination | None, over: Sequence[Outcome], known: Collection[str]) -> None:
        """`over` are the rounds that are, with all their parts; `known` are kinds that are ignored."""
        self._into = into
        self._over = over
        self._known = known
        self._last = 0
        """The number of the last one about which there is a bundle."""

    def play(self, lab: Lab, planned: Round, progress: Reporter) -> Evidence:
        """Play it."""
        evidence = play(lab, planned, progress)
        number = len(self._over) + 1
        if (
            self._into is not None
            and self._last < number
            and (found := violations(lab.spec, evidence, self._known))
        ):
            self._last = number
            outcome = Outcome(number, planned, evidence, found)
            extra = {
                "soak/round.txt": f"{render.report([outcome])}\n",
                "soak/timeline.txt": shown(events(evidence)),
                "soak/schedule.yaml": schedule.written(Schedule(rounds=(planned,))),
            }
            why = f"lab soak: {render.line(outcome)}"
            explain(lab.engine, lab.spec, self._into, progress, why=why, extra=extra)
        return evidence


def _refuse(option: str, is_given: bool, others: Mapping[str, bool]) -> None:
    for other, also in others.items():
        if is_given and also:
            raise Unfit(f"{option} and {other} cannot be given together")


def _drawn(lab: Lab, seed: int, only: Mapping[str, float] | None) -> Iterator[Round]:
    return (generate.draw_round(seed, number, lab.spec, only) for number in itertools.count())


def _for(rounds: Iterator[Round], seconds: float) -> Iterator[Round]:
    """Those that begin within so many seconds."""
    deadline = time.monotonic() + seconds
    return itertools.takewhile(lambda _: time.monotonic() < deadline, rounds)


def _write(path: Path, rounds: tuple[Round, ...]) -> None:
    try:
        path.write_text(schedule.written(Schedule(rounds=rounds)), encoding="utf-8")
    except OSError as error:
        raise LabError(f"--output: {path} cannot be written: {error.strerror}") from error


COMMANDS = (soak,)
