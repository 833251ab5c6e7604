"""Programs of `lab.soak.inside` on a lab's machines: begun together, ended together, and what each tells."""

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from lab import threads
from lab.clocks.compare import Clock
from lab.cluster import Lab
from lab.deadlines import QUESTION
from lab.errors import LabError
from lab.inside import program
from lab.protocols import Conversation
from lab.soak import inside
from lab.soak.workload import ROWS, Told, Wanted

__all__ = ["Programs"]


class Programs:
    """They run for as long as the context is open."""

    def __init__(self, lab: Lab, wanted: Wanted, clocks: Mapping[str, Clock]) -> None:
        """`clocks` are those of each machine."""
        self._lab = lab
        self._wanted = {
            (node, name): {**asked, "shift": clocks[node].shift} for (node, name), asked in wanted.items()
        }
        self._talks: dict[tuple[str, str], Conversation] = {}
        self.began = 0.0
        """When the first began, by the clock that all machines share, or are shifted to."""
        self.here = 0.0
        """The same by `time.monotonic()` here, which is another clock with a remote engine."""

    def __enter__(self) -> "Programs":
        with ExitStack() as undo:
            undo.callback(self._close)
            for (node, name), asked in self._wanted.items():
                argv = program(inside, name, json.dumps(asked), packages=name == ROWS)
                self._talks[node, name] = self._lab.node(node).converse(argv)
            for talk in self._talks.values():
                talk.hear(QUESTION.seconds)
            self.here = time.monotonic()
            for talk in self._talks.values():
                talk.say("begin")
            began = [json.loads(talk.hear(QUESTION.seconds))["now"] for talk in self._talks.values()]
            self.began = min(began, default=0.0)
            undo.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._close()

    def _close(self) -> None:
        def close(talk: Conversation) -> None:
            with suppress(LabError):  # one that does not react ends with its machine, or this connection
                talk.end(QUESTION.seconds)

        threads.each(close, list(self._talks.values()))

    def end(self) -> Told:
        """What each tells; those that are gone, as after a reboot, tell nothing."""

        def end(key: tuple[str, str]) -> tuple[tuple[str, str], Mapping[str, Any] | None]:
            talk = self._talks[key]
            try:
                talk.say("")
                return key, json.loads(talk.hear(QUESTION.seconds))
            except LabError:
                return key, None

        told = threads.each(end, list(self._talks))
        return {key: said for key, said in told if said is not None}
