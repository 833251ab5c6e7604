"""Watches of etcd v2: a request for each event of a directory, in a thread of its own.

Not `stream=true`: with that etcd sends one past event and then nothing, for ever.
"""

import threading
from collections.abc import Callable, Mapping

from flanneld_py.registry import RegistryUnavailable
from flanneld_py.registry.etcd2.client import EVENT_CLEARED, Etcd2Client, Etcd2Response, LongPoll

__all__ = ["Etcd2Watch", "Etcd2Watches"]

TIMEOUT = 60.0
"""Seconds after which a request that brought no event is repeated, in case its connection is dead."""

CUT = "the endpoint no longer answers"


class Etcd2Watch:
    """Everything that happens below a key after an index, in order.

    `on_event` gets the answer to each request, in the watch's own thread, and returns why the watch cannot go
    on, or "". `on_end` gets the reason, once, as the last thing. Neither is called after `close`.
    """

    def __init__(
        self,
        client: Etcd2Client,
        key: str,
        index: int,
        *,
        on_event: Callable[[Etcd2Response], str],
        on_end: Callable[[str], None],
    ) -> None:
        self._client = client
        self._key = key
        self._index = index
        self._on_event = on_event
        self._on_end = on_end
        self._lock = threading.RLock()  # held during delivery, so that nothing is delivered after the end
        self._ended = False
        self._poll: LongPoll | None = None
        threading.Thread(target=self._read, name="watch", daemon=True).start()

    def close(self) -> None:
        """End the watch. Does not wait for its thread."""
        with self._lock:
            self._ended = True
        self._cut_poll()

    def cut(self) -> None:
        """End it as if the server had broken the connection: `on_end` is called, here."""
        self._end(CUT)
        self._cut_poll()

    def _cut_poll(self) -> None:
        if self._poll is not None:
            self._poll.cut()

    def _end(self, reason: str) -> None:
        with self._lock:
            if not self._ended:
                self._ended = True
                self._on_end(reason)

    def _read(self) -> None:
        try:
            while not self._ended:
                self._read_event()
        except _EndedError as error:
            self._end(str(error))
        except RegistryUnavailable as error:
            self._end(str(error))
        except Exception as error:  # noqa: BLE001 -- a watch that ends silently would never be restarted
            self._end(f"unexpected {type(error).__name__}: {error}")

    def _read_event(self) -> None:
        poll = self._poll = self._client.wait(self._key, self._index + 1, TIMEOUT)
        if poll.index and poll.index < self._index:
            raise _EndedError(f"etcd's index went back from {self._index} to {poll.index}")
        answer = poll.answer()
        if answer is None:
            self._index = max(self._index, poll.index)
            return
        if answer.error == EVENT_CLEARED:
            raise _EndedError(f"history after index {self._index} was cleared")
        self._index = max(self._index, answer.node.modified)
        with self._lock:
            if not self._ended and (reason := self._on_event(answer)):
                raise _EndedError(reason)


class Etcd2Watches:
    """Watches of several keys as one: they begin after the same index, and all end when one does.

    `places` maps each key to what to do with its events; all as in `Etcd2Watch`.
    """

    def __init__(
        self,
        client: Etcd2Client,
        places: Mapping[str, Callable[[Etcd2Response], str]],
        index: int,
        *,
        on_end: Callable[[str], None],
    ) -> None:
        self._on_end = on_end
        self._first = threading.Lock()  # held from the first end on
        self._closed = False
        self._begun = threading.Event()
        self._watches = [
            Etcd2Watch(client, key, index, on_event=heed, on_end=self._end) for key, heed in places.items()
        ]
        self._begun.set()

    def close(self) -> None:
        """See `Etcd2Watch`."""
        self._closed = True
        self._close_all()

    def cut(self) -> None:
        """See `Etcd2Watch`."""
        self._end(CUT)

    def _end(self, reason: str) -> None:
        # Do not wait here: another watch may be about to call this, with a lock held that `close` wants.
        if self._first.acquire(blocking=False):
            self._begun.wait()  # one may end before the next is made
            self._close_all()
            if not self._closed:
                self._on_end(reason)

    def _close_all(self) -> None:
        # Without references from here connections end now, not at the next garbage collection.
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()


class _EndedError(Exception):
    """The watch cannot go on; why."""
