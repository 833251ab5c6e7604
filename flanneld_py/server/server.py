"""The server: a thread for each connection; the networks answer the requests."""

import logging
import select
import socket
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from flanneld_py.config.reader import ConfigError
from flanneld_py.errors import Fatal, Stopped
from flanneld_py.lease.allocate import OutOfSubnets, Pick
from flanneld_py.monitor.status import NetworkStatus, ServerStatus
from flanneld_py.registry import TTL, RegistryUnavailable
from flanneld_py.registry.access import NO_CREDENTIALS, Credentials
from flanneld_py.registry.lease_store import LeaseStore
from flanneld_py.registry.remote import protocol
from flanneld_py.runtime import clock
from flanneld_py.runtime.clock import Time
from flanneld_py.server import messages
from flanneld_py.server.connections import Connections
from flanneld_py.server.listen import listen
from flanneld_py.server.messages import RequestRefused, Response
from flanneld_py.server.network import Network
from flanneld_py.server.tls import server_tls
from flanneld_py.subnet import Addresses

__all__ = ["Server"]

logger = logging.getLogger(__name__)

LONGEST_POLL = 60.0
"""Seconds after which a client is answered that nothing has happened, so that a dead peer is noticed."""

OpenStore: TypeAlias = Callable[[str], LeaseStore]


class Server:
    """See `supervisor.Member`: it runs until it is stopped.

    `open_store` connects to a network's registry, by the network's name, empty for the only one; `place` is
    the value of -listen. With `networks` only these are served, otherwise every network that has a
    configuration. `ready` is called once it listens.
    """

    def __init__(
        self,
        open_store: OpenStore,
        place: str,
        *,
        pick: Callable[[Addresses], Pick],
        credentials: Credentials = NO_CREDENTIALS,
        networks: Sequence[str] = (),
        ready: Callable[[], None] = lambda: None,
        time: Time | None = None,
        longest_poll: float = LONGEST_POLL,
    ) -> None:
        """Raises `Fatal` for an unavailable address, and for files that cannot be used."""
        self._open_store = open_store
        self._pick = pick
        self._only = frozenset(networks)
        self._ready = ready
        self._time = time or Time()
        self._longest_poll = longest_poll
        self._lock = threading.Lock()
        self._networks: dict[str, Network] = {}
        self.statuses: list[NetworkStatus] = []
        """One for each network that is served so far."""
        tls = server_tls(credentials)
        for name in networks or ("",):  # so that wrong options of the registry are reported now
            self._networks[name] = self._network(name, open_store(name))
        self._connections = Connections(listen(place), tls, self._answer)
        self.port = self._connections.port

    def run(self) -> None:
        """Serve until `stop`: then it raises `Stopped`."""
        self._ready()
        self._connections.serve()
        raise Stopped

    def stop(self) -> None:
        """Have `run` end. For any thread."""
        self._time.stopping.set()
        self._connections.stop()
        for network in list(self._networks.values()):
            network.close()

    @property
    def waiting(self) -> int:
        """How many clients wait for news, of all networks."""
        return sum(network.waiting for network in list(self._networks.values()))

    def close(self) -> None:
        """Free everything, once `run` has ended."""
        self.stop()
        self._connections.close()

    def _network(self, name: str, store: LeaseStore) -> Network:
        status = ServerStatus(name, doing="")
        self.statuses.append(status)
        return Network(name, store, self._pick, self._time, status)

    def _find(self, name: str) -> Network:
        """The network of this name. Raises `RequestRefused` if there is none."""
        if name in self._networks:
            return self._networks[name]
        if self._only:
            served = ", ".join(sorted(self._only))
            raise RequestRefused(404, f"{name or protocol.ONLY} is not served here: there is {served}\n")
        with self._lock:
            if self._time.stopping.is_set():
                raise Stopped
            if name not in self._networks:
                self._networks[name] = self._network(name, self._configured(name))
        return self._networks[name]

    def _configured(self, name: str) -> LeaseStore:
        """Connect to a network, if it has a configuration; clients may ask for any name."""
        store = self._open_store(name)
        try:
            if store.config() is not None:
                return store
        except RegistryUnavailable as error:
            store.close()
            raise RequestRefused(500, f"{error.trouble}: {error}") from error
        store.close()
        raise RequestRefused(
            500, f"{protocol.NOT_FOUND}: the network {name or protocol.ONLY} has no configuration yet"
        )

    def _answer(self, method: str, target: str, body: bytes, connection: socket.socket) -> Response:
        """The response to a request. Raises `Stopped`, or `ConnectionError` if the client has gone."""
        try:
            request = messages.read_request(method, target, body)
            network = self._find(request.network)
            match request:
                case messages.ConfigRequest():
                    return messages.json_answer(messages.config_text(network.config()))
                case messages.ListRequest():
                    return messages.json_answer(messages.watch_text(network.list(), _in_a_day()))
                case messages.WatchRequest():
                    result = self._wait(network, request, connection)
                    return messages.json_answer(messages.watch_text(result, _in_a_day()))
                case messages.AcquireRequest():
                    held = network.acquire(request.attrs, request.previous)
                case messages.RenewRequest():
                    held = network.renew(request.subnet, request.attrs)
            return messages.json_answer(messages.lease_text(held, _in_a_day()))
        except RequestRefused as refusal:
            return refusal.answer
        except ConfigError as error:
            return RequestRefused(500, f"Bad network config: {error}").answer
        except OutOfSubnets as error:
            logger.error("Failed to acquire subnet: %s", error)  # noqa: TRY400 (not a defect)
            return RequestRefused(500, str(error)).answer
        except Fatal as error:  # what this registry cannot keep
            return RequestRefused(500, str(error)).answer

    def _wait(
        self, network: Network, request: messages.WatchRequest, connection: socket.socket
    ) -> protocol.WatchResult:
        """What happened after its cursor, as soon as something has."""
        until = clock.now() + self._longest_poll
        with network.news() as news:
            waiter = select.poll()
            waiter.register(news, select.POLLIN)
            waiter.register(connection, select.POLLRDHUP)
            while True:
                if self._time.stopping.is_set():
                    raise Stopped
                result = network.since(request.cursor, request.epoch)
                left = until - clock.now()
                if result is not None or left <= 0:
                    return result or protocol.WatchResult(request.cursor)
                for descriptor, _ in waiter.poll(left * 1000):
                    if descriptor != news:
                        raise ConnectionAbortedError("the client has gone")
                    network.heard(news)


def _in_a_day() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=TTL)
