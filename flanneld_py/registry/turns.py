"""Several endpoints of one etcd: one is in use until it fails, then the next one has its turn."""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from flanneld_py.registry import Refused, Stopped, Unavailable
from flanneld_py.registry.access import Endpoint

__all__ = ["Connection", "Turns"]


class Connection(Protocol):
    """A client of one endpoint. What it does raises `Unavailable`, with a reason and no endpoint."""

    def close(self) -> None:
        """End it. For any thread."""


C = TypeVar("C", bound=Connection)
T = TypeVar("T")


class Turns(Generic[C]):
    """Does what is asked of it with one endpoint after another. `given_up` is told when one has failed."""

    def __init__(
        self, endpoints: Sequence[Endpoint], connect: Callable[[Endpoint], C], given_up: Callable[[], None]
    ) -> None:
        self._endpoints = list(endpoints)
        self._connect = connect
        self._given_up = given_up
        self._connection: C | None = None
        self._closed = False

    def call(self, action: Callable[[C], T]) -> T:
        """With the endpoint in use; when it fails, with each of the others. Raises as `Registry` does."""
        failures: list[Unavailable] = []
        for _ in self._endpoints:
            try:
                return self.here(action)
            except Unavailable as error:
                failures.append(error)
        kind = Refused if any(isinstance(failure, Refused) for failure in failures) else Unavailable
        raise kind("; ".join(map(str, failures)))

    def here(self, action: Callable[[C], T]) -> T:
        """With the endpoint in use alone. When it fails, it is given up."""
        endpoint = self._endpoints[0]
        try:
            if self._closed:
                raise Stopped
            if self._connection is None:
                self._connection = self._connect(endpoint)
            return action(self._connection)
        except Exception as error:
            if self._closed:  # libraries say many things about a connection that is closed under their hands
                raise Stopped from None
            if not isinstance(error, Unavailable):
                raise
            self._given_up()
            self._disconnect()
            self._endpoints.append(self._endpoints.pop(0))
            raise type(error)(f"{endpoint.url}: {error}") from error

    def close(self) -> None:
        """End the connection: whatever is under way, or comes later, raises `Stopped`. For any thread."""
        self._closed = True
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
