"""Which devices the engine's kernel has."""

from functools import cache

import pytest

from lab.engine import Engine
from tests.kernel.container import open_container
from tests.kernel.faults import PROBES, lacks

__all__ = ["needs"]


def needs(engine: Engine, backend: str) -> None:
    """Skip the test where the kernel lacks the devices that flannel's backend takes."""
    if backend in PROBES and _lacks(engine, backend):
        pytest.skip(f"the engine's kernel has no {backend}")


@cache
def _lacks(engine: Engine, kind: str) -> bool:
    with open_container(engine) as sandbox:
        return lacks(sandbox, kind)
