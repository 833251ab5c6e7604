import fcntl
import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence

import pytest

from lab.engine import Engine
from lab.labels import NAME
from tests.forking import run_module


@pytest.fixture
def run_lab() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, as its user runs it."""

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return run_module("lab", argv, timeout=600)

    return run


@pytest.fixture
def only_gc(tmp_path_factory) -> Iterator[None]:
    """No other test's `lab gc` runs meanwhile, which would remove what this one has left."""
    # The folder above a worker's own is that of the whole run.
    with (tmp_path_factory.getbasetemp().parent / "gc.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def left_of(engine: Engine) -> Callable[[str], Sequence[str]]:
    """Everything of the engine that carries a lab's name."""

    def left(name: str) -> Sequence[str]:
        labels = {NAME: name}
        names = [item.name for item in engine.containers(labels)]
        names += [item.name for item in engine.networks(labels)]
        return names + [item.name for item in engine.volumes(labels)]

    return left


@pytest.fixture
def name(run_lab, left_of):
    """A name for a lab that the command line makes; whatever is left of it goes with the test."""
    chosen = f"story-{secrets.token_hex(4)}"
    yield chosen
    run_lab("down", "--name", chosen)
    assert left_of(chosen) == []
