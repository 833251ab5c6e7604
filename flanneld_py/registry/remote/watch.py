"""One watch of a lease server: it is asked again and again for what happens next, in a thread of its own."""

import threading
import time
from collections.abc import Callable

from flanneld_py.registry import RegistryUnavailable
from flanneld_py.registry.remote.client import Poll

__all__ = ["RemoteWatch"]

TIMEOUT = 600.0
"""Seconds to wait for an answer: ours answers every minute, v0.5.5 only when something has happened."""

PAUSE = 1.0
"""Seconds from one request to the next, if the server answers that nothing has happened."""


class RemoteWatch:
    """Everything that happens after a cursor, in order.

    `on_answer` gets each answer's text, in the watch's own thread, and returns the cursor to go on from, or
    raises ValueError if there is none. `on_end` gets the reason, once, as the last thing. Neither is called
    after `close`.
    """

    def __init__(
        self,
        poll: Poll,
        path: str,
        cursor: int,
        *,
        on_answer: Callable[[bytes], int],
        on_end: Callable[[str], None],
    ) -> None:
        self._poll = poll
        self._path = path
        self._cursor = cursor
        self._on_answer = on_answer
        self._on_end = on_end
        self._lock = threading.RLock()  # held during delivery, so that nothing is delivered after the end
        self._ended = threading.Event()
        threading.Thread(target=self._read, name="watch", daemon=True).start()

    def close(self) -> None:
        """End the watch. Does not wait for its thread."""
        with self._lock:
            self._ended.set()
        self._poll.cut()

    def cut(self) -> None:
        """End it as if the server had broken the connection: `on_end` is called, here."""
        self._end("the server no longer answers")
        self._poll.cut()

    def _end(self, reason: str) -> None:
        with self._lock:
            if not self._ended.is_set():
                self._ended.set()
                self._on_end(reason)

    def _read(self) -> None:
        try:
            while not self._ended.is_set():
                self._read_answer()
        except (ValueError, RegistryUnavailable) as error:
            self._end(str(error))
        except Exception as error:  # noqa: BLE001 -- a watch that ends silently would never be restarted
            self._end(f"unexpected {type(error).__name__}: {error}")
        finally:
            self._poll.close()

    def _read_answer(self) -> None:
        asked_at, before = time.monotonic(), self._cursor
        reply = self._poll.ask(f"{self._path}{before}", TIMEOUT)
        if reply is None:
            raise ValueError(f"nothing came for {TIMEOUT:g} s")
        if not reply.is_good:
            raise ValueError(f"HTTP status {reply.status}: {reply.text}")
        with self._lock:
            if self._ended.is_set():
                return
            self._cursor = self._on_answer(reply.body)
        if self._cursor < before:
            raise ValueError(f"its cursor went back from {before} to {self._cursor}")
        if self._cursor == before:
            self._ended.wait(PAUSE - (time.monotonic() - asked_at))
