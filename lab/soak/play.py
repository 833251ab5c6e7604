"""Plays one round of a schedule on a lab, and gathers what was seen of it."""

import threading
import time
from collections.abc import Sequence
from functools import partial

from lab import threads, wait
from lab.cluster import Lab
from lab.deadlines import COMMAND, patience
from lab.errors import LabError
from lab.events import Reporter
from lab.faults import control
from lab.signals import undisturbed
from lab.soak import gather, workload
from lab.soak.evidence import Applied, Evidence
from lab.soak.invariants import RECOVERY
from lab.soak.programs import Programs
from lab.soak.schedule import Entry, Round
from lab.soak.settle import settle

__all__ = ["play"]


def play(lab: Lab, planned: Round, progress: Reporter) -> Evidence:
    """Play it: start each fault when it is due, end it, end all, and look whether everything is right again.

    However it is left, as by Ctrl-C, no fault of it stays in force. Raises `LabError` where the lab cannot be
    asked.
    """
    before = gather.standing(lab)
    clocks = gather.clocks(lab)
    since = time.time()
    with Programs(lab, workload.wanted(lab.spec, before.gateways, before.pods), clocks) as programs:
        applied, left = _apply(lab, planned, programs.here, progress)
        wrong = settle(lab, RECOVERY * patience())
        seconds = time.monotonic() - programs.here
        told = programs.end()
    now = Lab.get(lab.engine, lab.name)
    after = gather.standing(now)
    rows = gather.rows(now, after.pods)
    return Evidence(
        applied=applied,
        seconds=seconds,
        gaps=tuple(workload.gaps(told, programs.began)),
        content=workload.other_content(told),
        missing=workload.missing_rows(told, rows),
        unasked=workload.unasked_servers(told, rows),
        wrong=wrong,
        subnets_before=before.subnets,
        subnets_after=after.subnets,
        leases_before=before.leases,
        leases_after=after.leases,
        addresses=before.addresses,
        lines=gather.recorded(now, programs.began),
        cut=workload.cut_records(lab.spec, told),
        logs=gather.logs(now, since, programs.began, clocks),
        panics=gather.panics(now, since, clocks),
        remains_before=before.remains,
        remains_after=gather.remains_like(now, before.remains, after),
        left=left,
    )


def _apply(
    lab: Lab, planned: Round, began: float, progress: Reporter
) -> tuple[tuple[Applied, ...], tuple[str, ...]]:
    """Do what is planned, each fault in a thread of its own, then end all; what could not be ended."""
    over = threading.Event()
    one = partial(_one, lab, began=began, over=over, progress=progress)
    tasks = [threads.start(partial(one, entry)) for entry in planned.faults]
    try:
        applied = tuple(task.result() for task in tasks)
    except BaseException:
        with undisturbed():
            progress.note("end every fault of the round")
            over.set()
            _clear(lab)  # at once: a machine that stands still holds up what is under way on it
            try:
                wait.until(lambda: _all_ended(tasks), what="what is under way", timeout=COMMAND.seconds)
            finally:
                for what in _clear(lab):
                    progress.note(what)
        raise
    with undisturbed():
        return applied, _clear(lab)


def _all_ended(tasks: Sequence[threads.Task[Applied]]) -> bool | wait.NotYet:
    running = [task for task in tasks if not task.ended]
    return not running or wait.NotYet(f"{len(running)} of {len(tasks)}")


def _one(lab: Lab, entry: Entry, *, began: float, over: threading.Event, progress: Reporter) -> Applied:
    _pass_until(began + entry.at, over)
    started = time.monotonic() - began
    progress.note(entry.describe())
    done = False
    try:
        found = control.start(Lab.get(lab.engine, lab.name), entry.fault, entry.targets, entry.options)
        done = True
        if entry.lasts is not None:
            _pass_until(began + entry.ends, over)
            now = Lab.get(lab.engine, lab.name)
            control.stop(now, found.id or entry.fault, () if found.id else found.targets)
    except LabError as error:  # another fault of the round is in its way, as when a machine is paused
        progress.note(f"{entry.fault}: {error.message.splitlines()[0]}")
        return Applied(entry, started, time.monotonic() - began, done, error.message)
    return Applied(entry, started, time.monotonic() - began)


def _pass_until(moment: float, over: threading.Event) -> None:
    """Raises `Cancelled` when the round is over before."""
    wait.passing(max(0.0, moment - time.monotonic()), over)


def _clear(lab: Lab) -> tuple[str, ...]:
    """End what is still in force; what could not be ended."""
    try:
        control.clear(Lab.get(lab.engine, lab.name))
    except LabError as error:
        return (error.message,)
    return ()
