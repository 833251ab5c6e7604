"""What a machine can do as a fault: states, which have an exact inverse, and events. Each has a name.

The names are what a request's steps say. A module of this package registers its own when it is imported.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = [
    "EVENTS",
    "STATES",
    "Failed",
    "Given",
    "Refused",
    "Saved",
    "Seen",
    "State",
    "event",
    "run",
    "state",
    "until",
]

Given = Mapping[str, Any]
"""What a step is given: the members of a JSON object."""

Saved = dict[str, Any]
"""What an inverse has to know, found before anything was changed."""

PATIENCE = 30.0
"""Seconds for a command of this machine."""


class Failed(Exception):
    """What was attempted did not succeed; the message says why, the hint what to do."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


class Refused(Failed):
    """It cannot be done on this machine, or on its host."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the machine itself shows of a state."""

    on: bool
    words: str


class State:
    """A fault that lasts until it is ended, as one step of a record says it."""

    lasts: ClassVar[bool] = False
    """Whether it outlives the machine's reboot: it stands on disk, or in etcd."""

    repaired: ClassVar[bool] = False
    """Whether a daemon may undo it at once, even before it is seen: that is what is to be found out."""

    unique: ClassVar[bool] = False
    """Whether it is the fault's own, as a process is: then nobody else can have made it so before."""

    def __init__(self, given: Given, saved: Saved | None = None) -> None:
        self.given = given
        self.saved = saved if saved is not None else {}
        """What `save` answered."""

    @property
    def changes(self) -> Sequence[str]:
        """What it changes, each with a name that another state which changes the same has too."""
        raise NotImplementedError

    def save(self) -> Saved:
        """What the inverse has to know. Changes nothing; raises `Refused` or `Failed` where it cannot be."""
        raise NotImplementedError

    def start(self) -> None:
        """Make it so."""
        raise NotImplementedError

    def seen(self) -> Seen:
        """Whether it is so. Raises `Failed` where that cannot be seen."""
        raise NotImplementedError

    def ready(self) -> None:
        """Wait until it can be undone, where that may take a moment after a reboot. Raises `Failed`."""

    def stop(self) -> None:
        """Undo it, as far as it is still so."""
        raise NotImplementedError


STATES: dict[str, type[State]] = {}
EVENTS: dict[str, Callable[[Given], str]] = {}


def state(name: str) -> Callable[[type[State]], type[State]]:
    """Register the class below."""

    def register(kind: type[State]) -> type[State]:
        STATES[name] = kind
        return kind

    return register


def event(name: str) -> Callable[[Callable[[Given], str]], Callable[[Given], str]]:
    """Register the function below, which answers in words what was done."""

    def register(function: Callable[[Given], str]) -> Callable[[Given], str]:
        EVENTS[name] = function
        return function

    return register


def ask_program(argv: Sequence[str], text: str = "") -> tuple[int, str]:
    """A command's exit status and standard output; its standard error, where there is no output."""
    try:
        done = subprocess.run(
            argv,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except FileNotFoundError:
        raise Failed(f"this machine has no program {argv[0]}") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(argv)} did not end in {PATIENCE:.0f} s") from None
    said = done.stderr if done.returncode != 0 and not done.stdout.strip() else done.stdout
    return done.returncode, said


def run(argv: Sequence[str], *, text: str = "", check: bool = True) -> str:
    """The output of a command. Raises `Failed` with its last line when it does not succeed, if `check`."""
    status, said = ask_program(argv, text)
    if check and status != 0:
        lines = said.strip().splitlines() or [f"exit status {status}"]
        raise Failed(f"{' '.join(argv)}: {lines[-1]}")
    return said


def until(probe: Callable[[], str], what: str, seconds: float = 5.0) -> None:
    """Wait until a probe answers nothing; until then it answers what it sees instead. Raises `Failed`."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while seen := probe():
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:.0f} s for {what}; last seen: {seen}")
        pause.wait(0.005)
