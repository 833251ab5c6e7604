"""One network as its server has it: one connection to the registry, for all clients."""

import logging
import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from flanneld_py.backend.catalog import parse_config
from flanneld_py.errors import Stopped
from flanneld_py.lease.allocate import Pick
from flanneld_py.lease.model import Lease, LeaseAttrs, StoredLease
from flanneld_py.monitor.status import NetworkStatus
from flanneld_py.registry import (
    LeaseChanges,
    LeaseRequest,
    RegistryUnavailable,
    Reset,
    Snapshot,
    WatchMessage,
)
from flanneld_py.registry.lease_store import LeaseStore
from flanneld_py.registry.remote import protocol
from flanneld_py.registry.watchdog import Watchdog
from flanneld_py.runtime.clock import Time
from flanneld_py.server.history import History
from flanneld_py.server.messages import RequestRefused
from flanneld_py.subnet import Addresses, Subnet

__all__ = ["Network"]

logger = logging.getLogger(__name__)

TURN = 5.0
"""Seconds that a client waits for others to finish with the registry."""

ATTEMPTS = 10
"""How often to try for a lease when others keep being quicker; flannel's number."""


class Network:
    """Leases, for any number of threads. Methods raise `RequestRefused`, for the client, and `Stopped`.

    What is wrong with the registry is in `status`.
    """

    def __init__(
        self,
        name: str,
        store: LeaseStore,
        pick: Callable[[Addresses], Pick],
        time: Time,
        status: NetworkStatus,
    ) -> None:
        self._name = name
        self._status = status
        self._store = store
        self._pick = pick
        self._time = time
        self._turn = threading.Lock()  # only one thread at a time may use the store
        self._lock = threading.Lock()  # for the fields below
        self._history: History | None = None
        self._nonce = secrets.token_hex(8)  # other servers of the same registry count on their own
        self._waiting: set[int] = set()
        self._watchdog = Watchdog(time.now())
        threading.Thread(target=self._follow, name="watch", daemon=True).start()

    def config(self) -> bytes:
        """The configuration, as it was written."""
        with self._registry() as store:
            text = store.config()
        if text is None:
            which = f"the network {self._name}" if self._name else "the network"
            raise RequestRefused(500, f"{protocol.NOT_FOUND}: {which} has no configuration yet")
        return text

    def acquire(self, attrs: LeaseAttrs, previous: Subnet | None) -> StoredLease:
        """A lease for the node that describes itself so.

        Raises `ConfigError` and `OutOfSubnets`, too, and `Fatal` for a network that the registry cannot keep.
        """
        network = parse_config(self.config())
        self._store.require(network)
        for pool, address, flag in (
            (network.ipv4, attrs.public.ipv4, "PublicIP"),
            (network.ipv6, attrs.public.ipv6, "PublicIPv6"),
        ):
            if pool is not None and address is None:
                raise RequestRefused(500, f"the network is {pool.network}, and the request has no {flag}")
        request = LeaseRequest(network, attrs, previous, self._pick(attrs.public))
        with self._registry() as store:
            for _ in range(ATTEMPTS):
                held = store.acquire(store.snapshot(), request)
                if held is not None:
                    logger.info("Subnet lease acquired: %s", held.lease.subnet)
                    return held
        raise RequestRefused(500, "Max retries reached trying to acquire a subnet")

    def renew(self, subnet: Subnet, attrs: LeaseAttrs) -> StoredLease:
        """Renew the lease for another day. v0.5.5 would overwrite somebody else's; we refuse."""
        with self._registry() as store:
            for _ in range(ATTEMPTS):
                leases = store.snapshot().leases
                held = next((item for item in leases if item.lease.subnet == subnet and not item.name), None)
                if held is None:
                    raise RequestRefused(500, f"{protocol.LOST}: {subnet} is no longer leased")
                holder = held.lease.attrs.public
                if not holder.is_same_machine(attrs.public):
                    raise RequestRefused(500, f"{protocol.LOST}: {holder} holds {subnet}")
                revision = store.renew(held, attrs)
                if revision is not None:
                    return StoredLease(Lease(subnet, attrs), revision, permanent=held.permanent)
        raise RequestRefused(500, f"Max retries reached trying to renew the lease of {subnet}")

    def list(self) -> protocol.WatchResult:
        """All leases, as they are now."""
        snapshot, epoch = self._snapshot()
        return protocol.WatchResult(snapshot.revision, snapshot.leases, epoch=epoch)

    def since(self, cursor: int, epoch: str = "") -> protocol.WatchResult | None:
        """What happened after a cursor; all leases if that is no longer known; None if nothing happened.

        `epoch` is that of the list that the client began with, empty if the client does not give one.
        """
        with self._lock:
            history = self._history
            ahead = cursor > (0 if history is None else history.listed)
            stale = epoch.startswith(f"{self._nonce}.") and epoch != self._epoch
            if history is not None and not ahead and not stale:
                events = history.since(cursor)
                if events is not None:
                    return protocol.WatchResult(history.head, None, events) if events else None
        if history is None and not ahead:
            return None
        if stale:
            return self.list()
        # We never gave this revision: it is from a previous server, or the registry was restored since.
        listed = self.list()
        return listed if listed.cursor < cursor or not ahead else self.since(cursor)

    @property
    def waiting(self) -> int:
        """How many clients wait for news."""
        return len(self._waiting)

    @contextmanager
    def news(self) -> Iterator[int]:
        """A descriptor (eventfd(2)) that is readable whenever `since` may say something new."""
        descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        with self._lock:
            self._waiting.add(descriptor)
        try:
            yield descriptor
        finally:
            with self._lock:
                self._waiting.discard(descriptor)
            os.close(descriptor)

    def heard(self, news: int) -> None:
        """Make the descriptor wait for the next event."""
        with suppress(BlockingIOError):
            os.eventfd_read(news)

    def close(self) -> None:
        """End the connection. Whoever waits, or comes later, gets `Stopped`; `time` must be stopping."""
        self._store.close()
        with self._lock:
            self._wake()

    @contextmanager
    def _registry(self) -> Iterator[LeaseStore]:
        if not self._turn.acquire(timeout=TURN):
            raise RequestRefused(
                500, f"the registry is busy: other clients have waited for it for {TURN:g} s"
            )
        try:
            yield self._store
        except RegistryUnavailable as error:
            self._status.trouble = f"{error.trouble}: {error}"
            raise RequestRefused(500, self._status.trouble) from error
        else:
            self._status.trouble = ""
            self._status.heard_at = self._time.now()
            # A client's answer is as good as a probe's, for which a busy server has no turn to spare.
            self._watchdog.probed(self._time.now())
        finally:
            self._turn.release()

    @property
    def _epoch(self) -> str:
        """A different one each time that the registry was restored."""
        return f"{self._nonce}.{0 if self._history is None else self._history.restored}"

    def _snapshot(self) -> tuple[Snapshot, str]:
        with self._registry() as store:
            with self._lock:
                listed = 0 if self._history is None else self._history.listed
            snapshot = store.snapshot()
            with self._lock:
                if self._history is None:
                    self._history = History(snapshot)
                elif self._history.glance(snapshot, listed):
                    self._wake()
                epoch = self._epoch
        return snapshot, epoch

    # Following the registry

    def _follow(self) -> None:
        while not self._time.stopping.is_set():
            try:
                reason = self._watch()
            except Stopped:
                return
            except RequestRefused as refusal:
                reason = str(refusal)
            except Exception as error:  # without this thread clients would wait for ever
                logger.exception("Watch subnets")
                reason = f"unexpected {type(error).__name__}"
            backoff = self._watchdog.ended(self._time.now())
            if backoff.worth_saying("watch", self._time.now()):
                logger.error("Watch subnets: %s", reason)
            self._time.rest(self._time.spread(backoff.delay()))

    def _watch(self) -> str:
        """List and watch until the watch ends; returns why it did."""
        event_queue: queue.SimpleQueue[WatchMessage] = queue.SimpleQueue()
        with self._registry() as store:
            snapshot = store.snapshot()
            store.watch(snapshot.revision, event_queue.put)
            with self._lock:
                if self._history is None:
                    self._history = History(snapshot)
                else:
                    self._history.relist(snapshot)
                restored = self._history.restored
                self._wake()
        self._watchdog.begun(self._time.now())
        while True:
            if self._watchdog.must_probe(self._time.now(), idle=event_queue.empty()):
                with self._registry() as store:
                    store.probe()
            message = self._time.receive(event_queue, self._watchdog.time_left(self._time.now()))
            with self._lock:
                # Seen in a list since: what this watch delivers is older than that.
                if self._history.restored != restored:
                    return "the registry was restored"
                if isinstance(message, LeaseChanges):
                    self._history.take(message.events)
                    self._wake()
            if isinstance(message, Reset):
                return message.reason
            if message is not None:
                self._status.heard_at = self._time.now()
                self._watchdog.heard(self._status.heard_at)

    def _wake(self) -> None:
        for descriptor in self._waiting:
            os.eventfd_write(descriptor, 1)
