"""Has a lab's machines keep the last packets of the underlay, while something goes on that may fail.

What they keep is asked for by a bundle (`lab.bundle.inside.packets`), whoever collects that.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from lab import threads, wait
from lab.bundle import inside, questions
from lab.cluster import Lab
from lab.deadlines import RECORDING_ENDS
from lab.errors import LabError
from lab.events import Reporter
from lab.inside import program
from lab.node.running import Running
from lab.spec import NodeSpec

__all__ = ["recording"]

LOOK = 1.0
"""Seconds between two looks whether a machine runs again."""


@contextmanager
def recording(lab: Lab, progress: Reporter) -> Iterator[None]:
    """Have them do so for as long as the context is open.

    A machine that is rebooted begins anew. One that cannot do so is told, and hinders nobody.
    """
    over = threading.Event()
    recorders = [_Recorder(lab, node, over, progress) for node in lab.spec.nodes]
    tasks = [threads.start(recorder.keep, name="packets") for recorder in recorders]
    try:
        yield
    finally:
        over.set()
        deadline = time.monotonic() + RECORDING_ENDS.seconds
        for recorder in recorders:
            recorder.stop()
        for task in tasks:
            with suppress(threads.Late):  # of a machine that stands still; it ends with this connection
                task.result(max(0.0, deadline - time.monotonic()))


class _Recorder:
    """Keeps the program running on one machine."""

    def __init__(self, lab: Lab, node: NodeSpec, over: threading.Event, progress: Reporter) -> None:
        self._lab = lab
        self._node = node
        self._argv = program(inside, "recorder", *questions.recorder_arguments(node))
        self._over = over
        self._progress = progress
        self._running: Running | None = None

    def stop(self) -> None:
        """Have it end, and do not wait for that."""
        if self._running is not None:
            self._running.stop()

    def keep(self) -> None:
        """Until it is over: run it, again after each reboot. Where it cannot run, say so once."""
        with suppress(wait.Cancelled):
            while not (why := self._once()):
                wait.passing(LOOK, self._over)
            self._progress.note(f"{self._node.name} keeps no packets: {why}")

    def _once(self) -> str:
        """Run it to its end; why it cannot be run, or nothing where that came from outside."""
        what = f"{self._node.name} to run"
        look = partial(self._lab.look_for, self._node.name)
        node = wait.until(look, what=what, timeout=math.inf, interval=LOOK, cancel=self._over)
        said = b""
        with suppress(LabError, OSError), node.open(self._argv) as running:  # it goes down just now
            self._running = running
            if self._over.is_set():
                return ""
            for _, data in running.frames():
                said += data
        words = said.decode(errors="replace").strip().splitlines()
        return words[-1] if words else ""
