"""Plays one round of a schedule on a lab, and gathers what was seen of it."""

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial

from lab import checks, threads, wait
from lab.checks import Finding
from lab.cluster import Lab
from lab.deadlines import COMMAND, patience
from lab.errors import LabError
from lab.events import Reporter
from lab.faults import control
from lab.observe import Topic, known, observe
from lab.observe.parse import parse_environment
from lab.signals import undisturbed
from lab.soak.evidence import Applied, Evidence
from lab.soak.flows import Flows, losses
from lab.soak.invariants import RECOVERY
from lab.soak.schedule import Entry, Round

__all__ = ["play", "settle"]

PANICS = r"^panic: |^fatal error: |^Traceback \(most recent call last\)|SIGSEGV|segfault"
"""What the runtimes of Go, Python and C say of a program that should not have ended so."""

PANIC = ["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=3", f"--grep={PANICS}"]


def play(lab: Lab, planned: Round, progress: Reporter) -> Evidence:
    """Play it: start each fault when it is due, end it, end all, and look whether everything is right again.

    However it is left, as by Ctrl-C, no fault of it stays in force. Raises `LabError` where the lab cannot be
    asked.
    """
    before = _subnets(lab)
    gateways = {node: subnet.partition("/")[0] for node, subnet in before.items() if subnet}
    since = time.time()
    with Flows(lab, gateways) as flows:
        began = time.monotonic()
        applied, left = _apply(lab, planned, began, progress)
        wrong = settle(lab, RECOVERY * patience())
        told = flows.end()
    zero = min(flows.began.values(), default=0.0)
    now = Lab.get(lab.engine, lab.name)
    return Evidence(
        applied=applied,
        lost=tuple(losses(told, zero)),
        wrong=wrong,
        subnets_before=before,
        subnets_after=_subnets(now),
        panics=_panics(now, since),
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


def settle(lab: Lab, seconds: float) -> tuple[Finding, ...]:
    """Wait until every check holds, and stays so; those that do not in time."""
    found: tuple[Finding, ...] = ()

    def right() -> bool | wait.NotYet:
        nonlocal found
        found = _wrong(lab)
        return not found or wait.NotYet([item.id for item in found])

    try:
        wait.until(right, what="every check to hold", timeout=seconds, interval=0.5)
    except wait.TimedOut:
        return found
    return _wrong(lab)


def _wrong(lab: Lab) -> tuple[Finding, ...]:
    return tuple(checks.failed(checks.run_all(Lab.get(lab.engine, lab.name))))


def _subnets(lab: Lab) -> Mapping[str, str]:
    """FLANNEL_SUBNET by node of the overlay; empty where there is none."""
    seen = observe(lab, {Topic.SUBNET_ENV})
    found = {}
    for node in seen.minions:
        env = known(node.subnet_env)
        found[node.name] = parse_environment(env.text or "").get("FLANNEL_SUBNET", "") if env else ""
    return found


def _panics(lab: Lab, since: float) -> Mapping[str, str]:
    """What programs have written that panicked, by node."""

    def of(name: str) -> tuple[str, str]:
        argv = [*PANIC, f"--since=@{since:.0f}"]
        return name, lab.node(name).run(argv, check=False).text.strip()

    running = [name for name in lab.nodes if lab.state(name) == "running"]
    return {name: text for name, text in threads.each(of, running) if text}
