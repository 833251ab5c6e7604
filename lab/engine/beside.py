"""Connections to engines beside the one that the environment selects."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lab import threads
from lab.deadlines import ANOTHER_ENGINE
from lab.engine.endpoint import Endpoint
from lab.engine.model import EngineUnavailable

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
        self._engines: dict[Endpoint, Engine] = {}
        self._lost: list[Engine] = []
        self._failed: dict[Endpoint, tuple[float, EngineUnavailable]] = {}

    def engine(self, endpoint: Endpoint) -> "Engine":
        """The engine there, which answers right now.

        Raises `EngineUnavailable`.
        """
        with self._lock:
            known = self._engines.get(endpoint)
            when, error = self._failed.get(endpoint, (-AGAIN, None))
            if error is not None and time.monotonic() < when + AGAIN:
                raise error

        def answering() -> "Engine":
            if known is None:
                return self._connect(endpoint)
            known.ping()
            return known

        try:
            found = threads.start(answering, name=endpoint.named).result(ANOTHER_ENGINE.seconds)
        except (EngineUnavailable, threads.Late) as error:
            told = error if isinstance(error, EngineUnavailable) else _late(endpoint.named)
            with self._lock:
                self._failed[endpoint] = time.monotonic(), told
                if known is not None and self._engines.pop(endpoint, None) is known:
                    self._lost.append(known)
            raise told from error
        with self._lock:
            return self._engines.setdefault(endpoint, found)

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            engines = [*self._engines.values(), *self._lost]
            self._engines, self._lost = {}, []
        for engine in engines:
            engine.close()


def _late(named: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"{named} did not answer within {ANOTHER_ENGINE.seconds:g} s",
        hint="Is it up, and reached from here?",
    )
