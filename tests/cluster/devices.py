"""Which devices the engine's kernel has."""

from functools import cache

import pytest

from lab.engine import Engine
from tests.kernel.container import open_container

__all__ = ["needs"]


def needs(engine: Engine, backend: str) -> None:
    """Skip the test where the kernel lacks the devices that flannel's backend takes."""
    if backend in ("wireguard", "ipip") and not _has(engine, backend):
        pytest.skip(f"the engine's kernel has no {backend}")


@cache
def _has(engine: Engine, kind: str) -> bool:
    with open_container(engine) as sandbox:
        made = sandbox.run("ip", "link", "add", "probe0", "type", kind, check=False)
        return made.exit_code == 0
