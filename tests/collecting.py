"""The garbage collector stands still while tests are collected.

Modules, 5,000 tests and what they are made of stay until the end; to look through all that again and again is
a fifth of what a worker takes to begin. What is garbage after it is collected once, so that an error in a
finalizer is heard; from then on what was there is left in peace.
"""

import gc

import pytest


def pytest_configure() -> None:
    """Collection is about to begin."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """The tests are about to."""
    gc.collect()
    gc.freeze()
    gc.enable()
