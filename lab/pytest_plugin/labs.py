"""Labs for tests: made for them, shared by them, or found.

A lab that somebody has up is never touched unless it is asked for, and a killed run leaves nothing that
`lab gc` would not remove: what is not kept is never marked complete, and its lock goes with the process.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab import lock, naming, spec
from lab.bundle.destination import VARIABLE
from lab.bundle.failed_tests import Bundles
from lab.cluster import Lab, lifecycle, remove_all
from lab.engine import Engine, ExecResult
from lab.errors import LabError, Unfit
from lab.events import Kept, Reporter
from lab.pods import RunningPod
from lab.pytest_plugin.summary import KEPT
from lab.signals import shielded
from lab.spec import source

__all__ = [
    "BUNDLES",
    "MakeLab",
    "PodAccess",
    "Wishes",
    "leave_bundles_in",
    "opened",
    "temporary_lab",
    "wishes_of",
]

FOLDER = "lab-bundles"
"""In pytest's root folder, where neither the option nor the variable says otherwise. It has no dot at its
beginning: actions/upload-artifact leaves out what is hidden."""

BUNDLES = Bundles()


def leave_bundles_in(config: pytest.Config) -> None:
    """Have bundles go where the option, the variable or the default says, with packets or without."""
    named = config.getoption("--lab-bundles") or os.environ.get(VARIABLE) or FOLDER
    BUNDLES.folder = config.rootpath / named
    BUNDLES.packets = not config.getoption("--lab-no-packets")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the options say of a lab, and who asks."""

    name: str | None = None
    keep: bool = False
    reuse: bool = False
    share: bool = False
    worker: str = ""
    """pytest-xdist's name of this worker; empty without it."""
    folder: Path = Path()
    """One that all workers of a run have."""


def wishes_of(config: pytest.Config, temporary: pytest.TempPathFactory) -> Wishes:
    """What the command line says."""
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    base = temporary.getbasetemp()
    return Wishes(
        name=config.getoption("--lab-name"),
        keep=config.getoption("--lab-keep"),
        reuse=config.getoption("--lab-reuse"),
        share=config.getoption("--lab-share") and bool(worker),
        worker=worker,
        folder=base.parent if worker else base,  # a worker's own is in that of the whole run
    )


@contextmanager
def opened(engine: Engine, file: Path | None, wishes: Wishes) -> Iterator[Lab]:
    """The lab of this file, as it was wished for. Raises `LabError`."""
    if file is None:
        wanted = spec.load("{}", "the tutorial's cluster", default_name=naming.default_name())
    else:
        wanted = spec.load_file(file, default_name=naming.default_name())
    if wishes.reuse:
        found = _found_or_made(engine, wanted.with_name(wishes.name or wanted.name), wishes)
        with BUNDLES.recording(found, Reporter()):
            yield found
    elif wishes.share:
        with _shared(engine, wanted, wishes) as shared:
            yield shared
    else:
        own = f"{wishes.name}-{wishes.worker}" if wishes.name and wishes.worker else wishes.name
        with temporary_lab(engine, wanted, name=own, keep=wishes.keep) as outcome:
            yield _right(outcome).lab


def _found_or_made(engine: Engine, wanted: spec.LabSpec, wishes: Wishes) -> Lab:
    """A lab that is up, and stays up. Workers that want the same one wait for the first."""
    with _alone(wishes.folder / f"{wanted.name}.lock"):
        made = lifecycle.up(engine, wanted, Reporter())
        KEPT.add(wanted.name)
        return _right(made).lab


@contextmanager
def _shared(engine: Engine, wanted: spec.LabSpec, wishes: Wishes) -> Iterator[Lab]:
    """A lab of all workers of a run: the first one makes it, and removes it when no other uses it any more.

    Who uses it has a shared lock on the file that has its name. Who reads the name, or makes or removes the
    lab, is alone with another file.
    """
    about = wanted.public().model_copy(update={"name": ""}).to_json()
    path = wishes.folder / f"lab-{source.digest_of(about.encode())[:16]}"
    alone = path.with_suffix(".lock")
    with ExitStack() as stack, path.open("a+") as file:
        with _alone(alone):
            file.seek(0)
            name = file.read()
            fcntl.flock(file, fcntl.LOCK_SH)
            if name:
                found = Lab.get(engine, name)
            else:
                opening = temporary_lab(engine, wanted, name=wishes.name, keep=wishes.keep)
                found = _right(stack.enter_context(opening)).lab
                file.write(found.name)
                file.flush()
        try:
            yield found
        finally:
            if not name:
                with _alone(alone):
                    file.truncate(0)  # who comes now makes another one
                    fcntl.flock(file, fcntl.LOCK_EX)  # until no other worker uses it


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def temporary_lab(
    engine: Engine, wanted: spec.LabSpec, *, name: str | None = None, keep: bool = False
) -> Iterator[lifecycle.Outcome]:
    """A lab of this kind for as long as the context is open, or longer; under a name that nobody else has.

    A name of one's own is refused if there is such a lab, unless a killed run left it. Raises `LabError`.
    """
    named = wanted.with_name(name or f"test-{secrets.token_hex(4)}")
    kept = Kept()
    with lock.held(engine.id, named.name):
        if name is not None:
            _require_free(engine, name)
        try:
            witness = BUNDLES.witness(engine, named, kept)
            outcome = lifecycle.build(engine, named, Reporter(kept), witness=witness, finish=keep)
            with BUNDLES.recording(outcome.lab, Reporter(kept)):
                try:
                    yield outcome
                except Exception as error:  # of a test that has the context open itself: soon the lab is gone
                    BUNDLES.leave(outcome.lab, error)
                    raise
        finally:
            if keep and Lab.find(engine, named.name) is not None:
                KEPT.add(named.name)
            else:
                with shielded():
                    list(remove_all(engine, named.name))


def _require_free(engine: Engine, name: str) -> None:
    """Raise `Unfit` if there is a lab of this name; one that a killed run left unfinished is removed."""
    there = Lab.find(engine, name)
    if there is not None and there.complete:
        raise Unfit(f"there is a lab {name} already", hint="--lab-reuse uses it; lab down removes it.")
    lifecycle.remove_unfinished(engine, name, Reporter())


class MakeLab:
    """Makes labs of a test's own."""

    def __init__(self, engine: Engine, stack: ExitStack) -> None:
        self._engine = engine
        self._stack = stack
        self.labs: list[Lab] = []

    def __call__(self, wanted: spec.LabSpec) -> lifecycle.Outcome:
        """A lab of this kind, until the test has ended."""
        outcome = self._stack.enter_context(temporary_lab(self._engine, wanted))
        self.labs.append(outcome.lab)
        return outcome


@dataclass(frozen=True, slots=True)
class PodAccess:
    """A pod of a lab."""

    lab: Lab
    running: RunningPod

    @property
    def address(self) -> IPv4Address | None:
        """In the overlay."""
        return self.running.address

    def run(
        self,
        argv: Sequence[str],
        *,
        container: str | None = None,
        check: bool = True,
        stdin: bytes | None = None,
        within: float | None = None,
    ) -> ExecResult:
        """Run a command in a container of it, by default its first, as `Node.run` does on a machine."""
        flags = ["--interactive"] if stdin is not None else []
        inner = ["docker", "exec", *flags, self.running.container(container), *argv]
        return self.lab.node(self.running.node).run(inner, check=check, stdin=stdin, within=within)


def _right(outcome: lifecycle.Outcome) -> lifecycle.Outcome:
    """Raise `LabError` unless every check of the lab holds."""
    wrong = [
        f"{item.title} of {item.subject}: expected {item.expected.text}; seen: {item.seen.text}"
        for item in outcome.findings
        if not item.ok
    ]
    if wrong:
        raise LabError("\n".join([f"the lab {outcome.lab.name} is up, and not right:", *wrong]))
    return outcome
