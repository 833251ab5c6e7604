"""The packet filter's rules put right again and again, without anybody waiting for it."""

import errno
import threading
from collections.abc import Callable

__all__ = ["Resync"]


class Resync:
    """Calls `sync` in a thread of its own, one call at a time.

    A program that changes the packet filter may hang, for the lock that others hold, or for a module that
    the kernel loads; whoever looks after a lease has no time for that. For any thread.
    """

    def __init__(self, sync: Callable[[], int]) -> None:
        self._sync = sync
        self._lock = threading.Lock()
        self._running = False
        self._repaired = 0
        self._failure: BaseException | None = None

    def __call__(self) -> int:
        """Begin, unless it is still under way; how many things were put right since this was last asked.

        Raises what an earlier call of `sync` raised, and OSError where there can be no more threads.
        """
        with self._lock:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            repaired, self._repaired = self._repaired, 0
            if not self._running:
                self._begin()
        return repaired

    def _begin(self) -> None:
        try:
            threading.Thread(target=self._run, name="filters", daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, f"a thread for the packet filter's rules: {error}") from error
        self._running = True

    def _run(self) -> None:
        repaired, failure = 0, None
        try:
            repaired = self._sync()
        except BaseException as error:  # noqa: BLE001 (raised again, where it is asked for)
            failure = error
        with self._lock:
            self._running = False
            self._repaired += repaired
            self._failure = failure
