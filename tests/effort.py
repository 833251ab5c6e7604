"""How long the tests that search for a fault do so: a moment, or `make search` and as long as one likes."""

import os
from typing import Final

from hypothesis import settings

__all__ = ["EFFORT", "USUALLY", "examples"]

EFFORT: Final = int(os.environ.get("SEARCH", "1"))
"""How many times as many examples as in `make lab-test`."""

USUALLY: Final = 20 * EFFORT
"""Examples of a test that does not say how many."""


def examples(count: int) -> settings:
    """So many examples, which are to take no more than a second."""
    return settings(max_examples=count * EFFORT)
