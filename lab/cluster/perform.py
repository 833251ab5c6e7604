"""Runs a plan: each step starts once the steps it needs are done, several in parallel."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from lab.cluster.plan import Action, Step, ready
from lab.events import Reporter
from lab.signals import Deferred
from lab.threads import HEED, receive, start
from lab.wait import Cancelled

__all__ = ["perform"]

GRACE = 3.0
"""Seconds that running steps have to notice that the plan was cancelled."""


def perform(
    steps: Sequence[Step],
    act: Callable[[Action, Reporter], None],
    progress: Reporter,
    cancel: threading.Event,
    signals: Deferred | None = None,
    *,
    lasting: tuple[type[Action], ...] = (),
) -> None:
    """Run all steps. On the first failure, or Ctrl-C, cancel the rest and raise the error.

    Steps run in daemon threads, so one that is stuck in a call to the engine does not delay our exit. Only
    `lasting` steps are waited for, as what the engine makes for them would be left behind. The first signal
    that the caller has deferred is raised here.
    """
    signals = signals or Deferred()
    results: queue.SimpleQueue[tuple[Step, BaseException | None]] = queue.SimpleQueue()

    def run(step: Step) -> None:
        try:
            with progress.step(step.name) as within:
                _act(act, step.action, within, cancel)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, which raises it
            results.put((step, error))
        else:
            results.put((step, None))

    done: frozenset[str] = frozenset()
    running: dict[str, Step] = {}
    try:
        while len(done) < len(steps):
            for step in ready(steps, done):
                if step.name not in running:
                    running[step.name] = step
                    start(partial(run, step), name=step.name)
            step, error = receive(results, signals.heed)
            del running[step.name]
            if error is not None:
                raise error
            done |= {step.name}
    except BaseException as error:  # noqa: BLE001 - Ctrl-C too; raised again below
        cancel.set()
        first = _settle(results, running, error, progress, signals, lasting)
        raise first from None


def _act(
    act: Callable[[Action, Reporter], None], action: Action, progress: Reporter, cancel: threading.Event
) -> None:
    """Perform an action; any error after the plan was cancelled becomes `Cancelled`."""
    try:
        act(action, progress)
    except Exception as error:
        if cancel.is_set() and not isinstance(error, Cancelled):
            raise Cancelled(str(error)) from error
        raise


def _settle(
    results: "queue.SimpleQueue[tuple[Step, BaseException | None]]",
    running: dict[str, Step],
    error: BaseException,
    progress: Reporter,
    signals: Deferred,
    lasting: tuple[type[Action], ...],
) -> BaseException:
    """Wait briefly for the other steps, longer for lasting ones; returns the error worth reporting."""
    deadline = time.monotonic() + GRACE
    told = False
    while running:
        if time.monotonic() >= deadline:
            waited = [name for name, step in running.items() if isinstance(step.action, lasting)]
            if not waited or signals.insisted:
                break
            if not told:
                progress.note(f"waiting for the engine to finish: {', '.join(waited)}")
                told = True
        try:
            step, other = results.get(timeout=HEED)
        except queue.Empty:
            continue
        del running[step.name]
        if isinstance(error, Cancelled) and other is not None:
            error = other
    return error
