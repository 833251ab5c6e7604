"""Several endpoints of one etcd: one is used until it fails, then the next."""

import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from flanneld_py.errors import Stopped
from flanneld_py.registry import AccessRefused, RegistryUnavailable
from flanneld_py.registry.access import Endpoint
from flanneld_py.registry.deadline import Deadline

__all__ = ["Connection", "Failover", "RunningWatch"]


class Connection(Protocol):
    """A client of one endpoint. Its failures are `RegistryUnavailable`, with a reason but no endpoint."""

    def close(self) -> None:
        """End it. For any thread."""


class RunningWatch(Protocol):
    """A watch under way. It reports once why it has ended, unless `close` has ended it."""

    def close(self) -> None:
        """End it, in silence. For any thread."""

    def cut(self) -> None:
        """End it as if the endpoint had."""


C = TypeVar("C", bound=Connection)
T = TypeVar("T")


class Failover(Generic[C]):
    """Tries each request with one endpoint after another.

    There may be one watch, which belongs to the endpoint in use: it is cut when that endpoint is given up.
    `timeout`: seconds that a call usually has; connections look up how long it has now (`Deadline`).
    `explain` says what of this machine's may have kept an endpoint from answering; "" if nothing is known.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        connect: Callable[[Endpoint, Deadline], C],
        timeout: float,
        explain: Callable[[], str] = str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = list(endpoints)
        self._connect = connect
        self._deadline = Deadline(timeout)
        self._now = now
        self._explain = explain
        self._connection: C | None = None
        self._watch: RunningWatch | None = None
        self._closed = False

    def call(self, action: Callable[[C], T]) -> T:
        """With the endpoint in use; when it fails, with each of the others. Raises as `Registry` does."""
        answer = self._with_any(action)
        self._deadline.met()
        return answer

    def _with_any(self, action: Callable[[C], T]) -> T:
        failures: list[RegistryUnavailable] = []
        late = False
        for _ in self._endpoints:
            began = self._now()
            try:
                return self._attempt(action)
            except RegistryUnavailable as error:
                failures.append(error)
                late = late or self._is_late(began)
        if late:
            self._deadline.missed()
        kind = (
            AccessRefused
            if any(isinstance(failure, AccessRefused) for failure in failures)
            else RegistryUnavailable
        )
        raise kind("; ".join(map(str, failures)))

    def here(self, action: Callable[[C], T]) -> T:
        """With the endpoint in use alone. When it fails, it is given up."""
        began = self._now()
        try:
            answer = self._attempt(action)
        except RegistryUnavailable:
            if len(self._endpoints) == 1 and self._is_late(began):
                self._deadline.missed()
            raise
        self._deadline.met()
        return answer

    def _is_late(self, began: float) -> bool:
        """Whether the deadline of a call that began then has passed."""
        return self._now() - began >= self._deadline.seconds

    def _attempt(self, action: Callable[[C], T]) -> T:
        endpoint = self._endpoints[0]
        try:
            if self._closed:
                raise Stopped
            if self._connection is None:
                self._connection = self._connect(endpoint, self._deadline)
                if self._closed:  # in the meantime, and `close` has not seen this one
                    self._disconnect()
                    raise Stopped
            return action(self._connection)
        except Exception as error:
            if self._closed:  # libraries raise all kinds of errors when a connection is closed under them
                raise Stopped from None
            if not isinstance(error, RegistryUnavailable):
                raise
            if watch := self._without_watch():
                watch.cut()
            self._disconnect()
            self._endpoints.append(self._endpoints.pop(0))
            why = "" if isinstance(error, AccessRefused) else self._explain()
            raise type(error)(f"{endpoint.url}: {error}" + (f" ({why})" if why else "")) from error

    def watch(self, begin: Callable[[C], RunningWatch]) -> None:
        """Begin this watch; a previous one delivers nothing from then on. Raises as `call`."""
        self._end_watch()
        self._watch = self._with_any(begin)  # that it begins is no answer yet
        if self._closed:  # in the meantime, and `close` has not seen this one
            self._end_watch()
            raise Stopped

    def close(self) -> None:
        """End watch and connection: calls under way, and later ones, raise `Stopped`. For any thread."""
        self._closed = True
        self._end_watch()
        self._disconnect()

    def _end_watch(self) -> None:
        if watch := self._without_watch():
            watch.close()

    def _without_watch(self) -> RunningWatch | None:
        watch, self._watch = self._watch, None
        return watch

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
