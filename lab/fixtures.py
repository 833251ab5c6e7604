"""pytest fixtures: labs for tests, each under a name and addresses of its own.

A lab that someone has up is never touched, and a killed test run leaves nothing that `lab gc` would not
remove: test labs are never marked complete, and their lock goes with the process.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from lab import lock, spec
from lab.cluster import Lab, lifecycle, remove_all
from lab.engine import Engine
from lab.errors import LabError
from lab.events import Reporter
from lab.signals import shielded

__all__ = ["engine", "lab", "make_lab", "temporary_lab"]

MakeLab = Callable[[spec.LabSpec], lifecycle.Outcome]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The Docker engine."""
    with closing(Engine.connect()) as connected:
        yield connected


@contextmanager
def temporary_lab(engine: Engine, wanted: spec.LabSpec) -> Iterator[lifecycle.Outcome]:
    """A lab of this kind under a name of its own, for as long as the context is open."""
    named = wanted.with_name(f"test-{secrets.token_hex(4)}")
    with lock.held(engine.id, named.name):
        try:
            yield lifecycle.build(engine, named, Reporter())
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
        yield lambda wanted: stack.enter_context(temporary_lab(engine, wanted))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add what the machines of the test's lab have logged to the report of a failed test."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    found = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(found, Lab):
        for node in found.nodes.values():
            for unit in node.services:
                try:
                    log = node.journal(unit, lines=30)
                except LabError as error:
                    log = error.message
                report.sections.append((f"{unit} on {node.name}", log))
