"""pytest fixtures: labs for tests, each under a name and addresses of its own.

A lab that someone has up is never touched, and a killed test run leaves nothing that `lab gc` would not
remove: test labs are never marked complete, and their lock goes with the process. About the labs of a test
that fails a bundle is left.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from lab import lock, spec
from lab.bundle.destination import VARIABLE
from lab.bundle.failed_tests import Bundles
from lab.cluster import Lab, lifecycle, remove_all
from lab.engine import Engine
from lab.errors import LabError
from lab.events import Kept, Reporter
from lab.signals import shielded

__all__ = ["MakeLab", "engine", "lab", "make_lab", "temporary_lab"]

FOLDER = "lab-bundles"
"""In pytest's root folder, where neither the option nor the variable says otherwise. It has no dot at its
beginning: actions/upload-artifact leaves out what is hidden."""

PROPERTY = "lab bundle"
"""Of a report: carries the name of a bundle from a worker of pytest-xdist to the summary."""

BUNDLES = Bundles()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says where bundles go."""
    parser.getgroup("lab").addoption(
        "--lab-bundles",
        metavar="DIR",
        help=f"where bundles about the labs of failed tests go  [default: ${VARIABLE}, or {FOLDER}]",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Heed the option."""
    named = config.getoption("--lab-bundles") or os.environ.get(VARIABLE) or FOLDER
    BUNDLES.folder = config.rootpath / named


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


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The Docker engine."""
    with closing(Engine.connect()) as connected:
        yield connected


@contextmanager
def temporary_lab(engine: Engine, wanted: spec.LabSpec) -> Iterator[lifecycle.Outcome]:
    """A lab of this kind under a name of its own, for as long as the context is open."""
    named = wanted.with_name(f"test-{secrets.token_hex(4)}")
    kept = Kept()
    with lock.held(engine.id, named.name):
        try:
            witness = BUNDLES.witness(engine, named, kept)
            outcome = lifecycle.build(engine, named, Reporter(kept), witness=witness)
            try:
                yield outcome
            except Exception as error:  # of a test that has the context open itself: soon the lab is gone
                BUNDLES.leave(outcome.lab, error)
                raise
        finally:
            with shielded():
                list(remove_all(engine, named.name))


@pytest.fixture(scope="session")
def lab(engine: Engine) -> Iterator[Lab]:
    """The tutorial's cluster, once for all tests of a worker; a test must leave it as it found it."""
    with temporary_lab(engine, spec.tutorial()) as outcome:
        yield outcome.lab


@pytest.fixture
def make_lab(engine: Engine) -> Iterator[MakeLab]:
    """Labs of a test's own, gone with it."""
    with ExitStack() as stack:
        yield MakeLab(engine, stack)


def labs_of(item: pytest.Item) -> Iterator[Lab]:
    """The labs that a test has from fixtures."""
    for value in getattr(item, "funcargs", {}).values():
        match value:
            case Lab():
                yield value
            case lifecycle.Outcome(lab=found):
                yield found
            case MakeLab():
                yield from value.labs


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Leave bundles about the labs of a failed test, and add the machines' last words to its report."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    if not report.failed:
        BUNDLES.forget()
        return
    for found in labs_of(item):
        BUNDLES.leave(found, call.excinfo.value if call.excinfo else "")
        report.sections += [section for node in found.nodes for section in _last_words(found, node)]
    report.user_properties += [(PROPERTY, file) for file in BUNDLES.take()]


def _last_words(lab: Lab, name: str) -> Iterator[tuple[str, str]]:
    node = lab.nodes[name]
    for unit in node.services:
        try:
            log = node.journal(unit, lines=30)
        except LabError as error:
            log = error.message
        yield f"{unit} on {name}", log


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the bundles."""
    reports = [report for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, ())]
    for report in reports:
        for name, file in getattr(report, "user_properties", ()):
            if name == PROPERTY:
                shown = os.path.relpath(file) if Path(file).is_absolute() else file
                terminalreporter.write_line(f"lab bundle about {report.nodeid}: {shown}")
