"""Repairs the packet filter rules repeatedly, in the background."""

import errno
import threading
from collections.abc import Callable

__all__ = ["Resync"]


class Resync:
    """Calls `sync` in a separate thread, one call at a time; if asked meanwhile, once more after that.

    A program that changes the packet filter may hang, waiting for a lock that others hold or for a kernel
    module to load; the loop that keeps the lease must not wait for it. For any thread.
    """

    def __init__(self, sync: Callable[[], int]) -> None:
        self._sync = sync
        self._lock = threading.Lock()
        self._running = self._again = False
        self._repaired = 0
        self._failure: BaseException | None = None

    def __call__(self) -> int:
        """Start a run, or have another follow the one in progress; return the repairs since the last call.

        Raises what an earlier run of `sync` raised, and OSError if no thread can be started.
        """
        with self._lock:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            repaired, self._repaired = self._repaired, 0
            if self._running:
                self._again = True
            else:
                self._begin()
        return repaired

    def _begin(self) -> None:
        try:
            threading.Thread(target=self._run, name="filters", daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, f"starting a thread for the packet filter rules: {error}") from error
        self._running = True

    def _run(self) -> None:
        while True:
            repaired, failure = 0, None
            try:
                repaired = self._sync()
            except BaseException as error:  # noqa: BLE001 (raised again by the next call)
                failure = error
            with self._lock:
                self._repaired += repaired
                self._failure = failure
                self._running = self._again and failure is None
                self._again = False
                if not self._running:
                    return
