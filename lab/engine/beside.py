"""Connections to engines beside the one that the environment selects."""

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lab import threads
from lab.deadlines import ANOTHER_ENGINE
from lab.engine.endpoint import Endpoint
from lab.engine.model import EngineUnavailable
from lab.engine.selection import of_host

if TYPE_CHECKING:
    from lab.engine.client import Engine

__all__ = ["Beside"]

AGAIN: Final = 5.0
"""Seconds after which an engine that did not answer is tried again."""


class Beside:
    """One connection to each of them, for as long as it lasts. Safe to use from several threads."""

    def __init__(self, connect: "Callable[[Endpoint], Engine]") -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._engines: dict[str, Engine] = {}
        self._failed: dict[str, tuple[float, EngineUnavailable]] = {}

    def engine(self, host: str, name: str) -> "Engine":
        """The engine at a DOCKER_HOST that the lab file calls `name`. Raises `EngineUnavailable`."""
        with self._lock:
            if host in self._engines:
                return self._engines[host]
            when, error = self._failed.get(host, (-AGAIN, None))
            if error is not None and time.monotonic() < when + AGAIN:
                raise error
        named = f"the engine {name}, {host}"
        endpoint = of_host(host, os.environ, named=named)
        try:
            made = threads.start(lambda: self._connect(endpoint), name=f"engine {name}").result(
                ANOTHER_ENGINE.seconds
            )
        except (EngineUnavailable, threads.Late) as error:
            told = error if isinstance(error, EngineUnavailable) else _late(named)
            with self._lock:
                self._failed[host] = time.monotonic(), told
            raise told from error
        with self._lock:
            return self._engines.setdefault(host, made)

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            engines, self._engines = self._engines, {}
        for engine in engines.values():
            engine.close()


def _late(named: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"{named} did not answer within {ANOTHER_ENGINE.seconds:g} s",
        hint="Is it up, and reached from here?",
    )
