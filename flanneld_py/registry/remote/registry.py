"""Leases from `flanneld -listen`, v0.5.5's or ours: the server takes them for us.

v0.5.5's server renews whatever it is asked to, even a lease that somebody else holds by now; so we look
before and after. It has no revisions: a list's cursor stands for them (see `messages`). A lease that its list
does not contain, or has with another PublicIP, is not ours.
"""

import logging
import threading
from collections.abc import Callable
from urllib.parse import quote

from flanneld_py.config.model import NetworkConfig
from flanneld_py.lease.allocate import OutOfSubnets
from flanneld_py.lease.model import LeaseAttrs, StoredLease
from flanneld_py.registry import (
    LeaseChanges,
    LeaseRequest,
    RegistryUnavailable,
    Reset,
    Snapshot,
    WatchMessage,
)
from flanneld_py.registry.access import NO_CREDENTIALS, Credentials, Endpoint
from flanneld_py.registry.failover import Failover
from flanneld_py.registry.remote import protocol
from flanneld_py.registry.remote.client import HINTS, TIMEOUT, NoGoodAnswer, RemoteClient, ServerResponse
from flanneld_py.registry.remote.messages import acquire_text, read_lease, read_watch, renew_text
from flanneld_py.registry.remote.watch import RemoteWatch
from flanneld_py.registry.tls import client_tls
from flanneld_py.subnet import Addresses, Subnet, key

__all__ = ["RemoteRegistry", "url_of"]

logger = logging.getLogger(__name__)


def url_of(server: str, network: str = "", credentials: Credentials = NO_CREDENTIALS) -> str:
    """The URL of a network at a server; arguments as for `RemoteRegistry`."""
    return f"{_scheme(credentials)}://{server}{_path_of(network)}"


class RemoteRegistry:
    """See `registry.Registry`. `server` is HOST:PORT, `network` a name, empty for the only one.

    With any of the credentials' files the connection is encrypted. Making one raises `Fatal` if they cannot
    be used.
    """

    def __init__(
        self,
        server: str,
        network: str = "",
        credentials: Credentials = NO_CREDENTIALS,
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        endpoint = Endpoint.of(f"{_scheme(credentials)}://{server}")
        files = client_tls([endpoint], credentials, HINTS.flag)
        self._path = _path_of(network)
        self._skipped: set[str] = set()
        self._listed = (0, "")  # cursor and epoch of the last list, which a watch goes on from
        self._lock = threading.Lock()
        self._failover = Failover(
            [endpoint], lambda endpoint, deadline: RemoteClient(endpoint, files, deadline), timeout
        )

    def config(self) -> bytes | None:
        """See `Registry`. As the server gives it: with the defaults that were left out in etcd."""
        return self._failover.here(self._config)

    def require(self, network: NetworkConfig) -> None:
        """See `Registry`. The server says what its registry cannot keep."""

    def snapshot(self) -> Snapshot:
        """See `Registry`. Spoiled keys are the server's business and not listed."""
        listed = self._failover.here(self._list)
        self._listed = listed.cursor, listed.epoch
        return Snapshot(listed.snapshot or (), listed.cursor)

    def acquire(self, known: Snapshot, request: LeaseRequest) -> StoredLease | None:  # noqa: ARG002 (the server knows)
        """See `Registry`. The server decides, by its own configuration and its own way to pick."""
        return self._failover.here(lambda client: self._acquire(client, request))

    def follow_announcements(self, kind: str) -> None:
        """See `Registry`. flannel's protocol has no place for it."""

    def announce(self, held: StoredLease, text: bytes) -> None:
        """See `Registry`. Likewise."""

    def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        """See `Registry`. The lease counts as ours as long as it has our address."""
        return self._failover.here(lambda client: self._renew(client, held, attrs))

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """See `Registry`."""

        def hand_on(body: bytes) -> int:
            result = read_watch(body, self._skip)
            if result.snapshot is not None:
                raise ValueError("the server no longer knows what happened since")
            if result.events:
                deliver(LeaseChanges(result.events))
            return result.cursor

        def begin(client: RemoteClient) -> RemoteWatch:
            def end(reason: str) -> None:
                deliver(Reset(f"{client.url}: {reason}"))

            cursor, epoch = self._listed
            known = f"epoch={quote(epoch, safe='')}&" if epoch and cursor == revision else ""
            path = f"{self._path}/leases?{known}next="
            return RemoteWatch(client.poll(), path, revision, on_answer=hand_on, on_end=end)

        self._failover.watch(begin)

    def probe(self) -> bytes | None:
        """See `Registry`. The server asks its etcd, so an etcd that does not answer is noticed here."""
        return self._failover.here(self._config)

    def close(self) -> None:
        """See `Registry`."""
        self._failover.close()

    def _config(self, client: RemoteClient) -> bytes | None:
        reply = client.ask("GET", f"{self._path}/config")
        if not reply.is_good and reply.text.startswith(protocol.NOT_FOUND):
            return None
        return _good(reply)

    def _list(self, client: RemoteClient) -> protocol.WatchResult:
        body = _good(client.ask("GET", f"{self._path}/leases"))
        try:
            return read_watch(body, self._skip)
        except ValueError as error:
            raise _nonsense(error) from error

    def _acquire(self, client: RemoteClient, request: LeaseRequest) -> StoredLease | None:
        reply = client.ask("POST", f"{self._path}/leases", acquire_text(request.attrs, request.previous))
        if not reply.is_good and reply.text.startswith(protocol.OUT_OF_SUBNETS):
            raise OutOfSubnets(reply.text)
        try:
            subnet = read_lease(_good(reply)).lease.subnet
        except ValueError as error:
            raise _nonsense(error) from error
        # The list has what the answer lacks: the revision, and whether the lease expires.
        return self._ours(client, subnet, request.attrs.public)

    def _renew(self, client: RemoteClient, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        subnet = held.lease.subnet
        if self._ours(client, subnet, attrs.public) is None:
            return None
        reply = client.ask(
            "PUT", f"{self._path}/leases/{quote(key(subnet), safe='')}", renew_text(held, attrs)
        )
        if not reply.is_good and reply.text.startswith(protocol.LOST):
            return None
        _good(reply)
        renewed = self._ours(client, subnet, attrs.public)
        return None if renewed is None else renewed.revision

    def _ours(self, client: RemoteClient, subnet: Subnet, public: Addresses) -> StoredLease | None:
        """The lease as the server lists it, if it is ours."""
        for held in self._list(client).snapshot or ():
            if held.lease.subnet == subnet and not held.name:
                return held if held.lease.attrs.public.is_same_machine(public) else None
        return None

    def _skip(self, reason: str) -> None:
        with self._lock:  # a watch has its own thread
            is_new = reason not in self._skipped and len(self._skipped) < 1000
            if is_new:
                self._skipped.add(reason)
        if is_new:
            logger.warning("Ignoring what the server lists: %s", reason)


def _scheme(credentials: Credentials) -> str:
    given = credentials.cafile or credentials.certfile or credentials.keyfile
    return "https" if given else "http"


def _path_of(network: str) -> str:
    return f"/v1/{quote(network or protocol.ONLY, safe='')}"


def _good(reply: ServerResponse) -> bytes:
    """The body. Raises `RegistryUnavailable` with the server's reason if the request failed."""
    if reply.is_good:
        return reply.body
    raise NoGoodAnswer(f"HTTP status {reply.status}: {reply.text}")


def _nonsense(error: ValueError) -> RegistryUnavailable:
    return NoGoodAnswer(f"its answer makes no sense: {error}")
