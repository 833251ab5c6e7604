"""Hypothesis without time limits, and programs in which no error goes unheard."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from tests.effort import EFFORT, USUALLY
from tests.pretences import pretences

# Tests share the machine's cores, and none is timed.
settings.register_profile(
    "untimed", deadline=None, max_examples=USUALLY, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")
if EFFORT == 1:
    # Each worker would read all modules for constants to draw, and ask of every one whether a strategy
    # permits it: a fifth of what the examples take. `make search` draws them too.
    pytest.MonkeyPatch().setattr(providers, "_get_local_constants", lambda: providers._local_constants)

STRICT = Path(__file__).parent / "strict"


@pytest.fixture(scope="session")
def engine(lab_engine):
    """The Docker engine, as the plugin has it."""
    return lab_engine


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_pretended():
    """What a file's tests have patched is undone, or the next file would test what they made of it."""
    yield
    assert pretences() == []


@pytest.fixture(scope="session", autouse=True)
def _no_bundles():
    """The `lab` of a test leaves none where a user's own would: what fails in a test is often meant to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LAB_BUNDLES", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _strict_programs():
    """Every Python that a test starts on this machine ends at an error in a finalizer or in a thread.

    In the test's own process pytest makes a failure of those.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STRICT), prepend=os.pathsep)
        yield
