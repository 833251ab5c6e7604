"""Pods of this machine as they start: a process in the network of each, which is another after each start."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from lab.labels import POD, POD_PART
from lab.soak.inside import record

__all__ = ["Pods"]

HOLDERS = ("--filter", f"label={POD_PART}=infra")
"""Of a pod's containers the one that has its network: it starts first, and ends last."""

LIST = ("docker", "ps", "--quiet", "--no-trunc", *HOLDERS)
INSPECT = ("docker", "inspect", "--type", "container", "--format")
NAME_AND_PID = f'{{{{index .Config.Labels "{POD}"}}}} {{{{.State.Pid}}}}'
IDENTIFIER = re.compile(r"[0-9a-f]{64}")
STARTS = ("docker", "events", *HOLDERS, "--filter", "event=start", "--format", "{{.Actor.ID}}")

AGAIN = 0.5
"""Seconds until Docker is asked anew where it has ended, or does not run."""

PATIENCE = 10.0
"""Seconds for Docker to answer."""


class Pods:
    """Tells of those that run, and then of each that starts; all in a thread of its own."""

    def __init__(
        self, wanted: Collection[str] | None, tell: Callable[[str, int], None], ready: Callable[[], None]
    ) -> None:
        """`wanted` are the names; None: every one. `tell` gets a name and a process.

        `ready` is called once all are told that run, or Docker does not say.
        """
        self._wanted = wanted
        self._tell = tell
        self._ready = ready
        self._known: dict[str, str] = {}
        self._commands = record.Commands(self, threading.Event(), AGAIN)
        given = ("pods", self._watching, None, lambda _: None)
        self._task = threading.Thread(target=self._commands.watch, args=given, daemon=True)
        self._task.start()

    def _watching(self, _first: int | None) -> list[str]:
        """The command that tells of starts: also of those since before we have looked."""
        began = time.time()
        self._look(_printed(LIST))
        self._ready()
        return [*STARTS, "--since", f"{began:.9f}"]

    def write(self, _name: str, text: str) -> None:
        """A container that has started; or a complaint, as where Docker does not run."""
        if IDENTIFIER.fullmatch(text):
            self._look([text])

    def _look(self, containers: Sequence[str]) -> None:
        for line in _printed([*INSPECT, NAME_AND_PID, "--", *containers]) if containers else ():
            name, _, pid = line.partition(" ")
            is_running = pid not in ("", "0")  # it has gone, or ended, again
            if is_running and self._known.get(name) != pid and (self._wanted is None or name in self._wanted):
                self._known[name] = pid
                self._tell(name, int(pid))

    def end(self) -> None:
        """Kill what watches."""
        self._commands.end()
        self._task.join(PATIENCE)


def _printed(argv: Sequence[str]) -> Sequence[str]:
    """The lines that a command prints; none if it does not end in time."""
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            preexec_fn=record.end_with_this,
        )
        return done.stdout.splitlines()
    return ()
