"""The sequence: config -> lease -> backend -> subnet.env -> READY -> watch and renew."""

import logging
import queue
import random
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from flanneld_py import acquire, allocate, config, files, subnet_env
from flanneld_py.allocate import HeldLease
from flanneld_py.backend import Backend
from flanneld_py.clock import Time
from flanneld_py.config import NetworkConfig
from flanneld_py.errors import Fatal
from flanneld_py.holder import Claim, Lost, View, words
from flanneld_py.lease import Lease, diff
from flanneld_py.notify import notify
from flanneld_py.options import Options
from flanneld_py.patience import Patience
from flanneld_py.registry import Changes, Registry, Reset, Snapshot, Stopped, Unavailable, WatchMessage

__all__ = ["Daemon"]

logger = logging.getLogger(__name__)

PROBE = 2.0
"""Seconds of silence on the watch after which the endpoint is asked whether it still answers."""

RENEW_RETRY = 10.0
"""Seconds until a renewal that failed is tried again; flannel's minute is too long for a margin of one."""

TROUBLE = "etcd does not answer"


class WatchEnded(Exception):
    """The watch said why it has ended."""


class Daemon:
    """One machine's flanneld. Its surroundings are arguments, so that tests need neither etcd nor root."""

    def __init__(
        self,
        options: Options,
        registry: Registry,
        public_ip: IPv4Address,
        *,
        open_backend: Callable[[NetworkConfig], Backend],
        set_filters: Callable[[IPv4Network], None] = lambda _network: None,
        time: Time | None = None,
        pick: Callable[[Sequence[IPv4Network]], IPv4Network] = random.choice,
    ) -> None:
        self._options = options
        self._registry = registry
        self._public_ip = public_ip
        self._open_backend = open_backend
        self._set_filters = set_filters
        self._time = time or Time()
        self._pick = pick
        self._inbox: queue.SimpleQueue[tuple[int, WatchMessage]] = queue.SimpleQueue()
        self._watch = 0  # the number of the watch that counts; what an older one still delivers does not
        self._view = View()
        self._announced: dict[IPv4Network, Lease] = {}  # the peers that the log has told of
        self._backend: Backend | None = None
        self._claim: Claim
        self._retry_renewal_at = float("-inf")

    def run(self) -> None:
        """Do everything, until `stop`: then it raises `Stopped`. Raises `Fatal` where it cannot go on."""
        network, backend = self._await_config()
        self._set_filters(network.network)
        previous = files.previous_subnet(Path(self._options.subnet_file))
        while True:
            snapshot = self._acquire(network, backend, previous)
            backend.claim(self._claim.subnet)
            # Nobody is told of us before the others can be reached.
            self._view.reset(snapshot)
            backend.carry(self._reachable(), self._claim.expires_at)
            self._announce(network, backend, previous)
            reason = self._keep(backend)
            logger.error(
                "Lease of %s lost: %s. Nothing is forwarded until a lease is held again",
                self._claim.subnet, reason,
            )  # fmt: skip
            backend.release()
            previous = self._claim.subnet

    def stop(self) -> None:
        """Have `run` end, soon. For any thread."""
        self._time.stopping.set()
        self._inbox.put((self._watch, Reset("we are to stop")))
        self._registry.close()

    def close(self) -> None:
        """Take away what `run` made, once it has ended."""
        if self._backend is not None:
            self._backend.close()

    # Until there is a lease

    def _await_config(self) -> tuple[NetworkConfig, Backend]:
        """The network configuration, however long it takes to appear, and the backend that it asks for."""
        patience = Patience()
        key = f"{self._options.etcd_prefix}/config"
        while True:
            try:
                text = self._registry.config()
            except Unavailable as error:
                self._complain(patience, f"Failed to retrieve network config: {TROUBLE}", str(error))
            else:
                if text is not None:
                    break
                self._complain(patience, f"Failed to retrieve network config: etcd has no key {key} yet")
            self._rest(patience.delay())
        try:
            network = config.parse(text)
            self._backend = self._open_backend(network)
        except config.ConfigError as error:
            raise Fatal(f"Bad network config in {key}: {error}") from error
        return network, self._backend

    def _acquire(self, network: NetworkConfig, backend: Backend, previous: IPv4Network | None) -> Snapshot:
        """Hold a lease, however long it takes; answers what was known when it was chosen."""
        patience = Patience()
        logger.info("Picking subnet in range %s ... %s", network.subnet_min, network.subnet_max)
        while True:
            try:
                asked_at = self._time.now()
                known = self._registry.snapshot()
                held = acquire.once(
                    self._registry, known, network, backend.attrs(self._public_ip), previous, self._pick
                )
            except Unavailable as error:
                self._complain(patience, f"Failed to acquire subnet: {TROUBLE}", str(error))
            except allocate.OutOfSubnets as error:
                self._complain(patience, f"Failed to acquire subnet: {error}")
            else:
                if held is not None:
                    logger.info("Subnet lease acquired: %s", held.lease.subnet)
                    self._claim = Claim(held, asked_at)
                    self._retry_renewal_at = float("-inf")
                    return known
                continue  # somebody was quicker: look again, at once
            self._rest(patience.delay())

    def _announce(self, network: NetworkConfig, backend: Backend, previous: IPv4Network | None) -> None:
        """Write subnet.env, then tell the service manager that we are ready."""
        subnet = self._claim.subnet
        env = subnet_env.SubnetEnv.of(network.network, subnet, backend.mtu, self._options.ip_masq)
        files.replace(Path(self._options.subnet_file), subnet_env.render(env))
        if previous is not None and previous != subnet:
            text = "The subnet was %s and is %s: restart what uses it, such as docker"
            logger.warning(text, previous, subnet)
        notify("READY=1")

    # While there is one

    def _keep(self, backend: Backend) -> str:
        """Follow the other leases and renew ours, until it is lost; answers why."""
        logger.info("Watching for new subnet leases")
        patience = Patience()
        while True:
            try:
                begun_at = self._time.now()
                if lost := self._take(self._list_and_watch(), backend):
                    return lost
                while True:
                    if lost := self._renew_if_due(backend):
                        return lost
                    changes = self._next_changes()
                    # A watch that stood for a while, and not one that breaks as soon as it is begun.
                    if self._time.now() - begun_at > PROBE:
                        patience = Patience()
                    if changes and (lost := self._take(changes, backend)):
                        return lost
                    self._repair(backend)
            except (Unavailable, WatchEnded) as error:
                trouble = f": {TROUBLE}" if isinstance(error, Unavailable) else ""
                self._complain(patience, f"Watch subnets{trouble}", str(error))
                if self._time.now() >= self._claim.expires_at:
                    return "it could not be renewed in time"
                self._repair(backend)
                self._rest(patience.delay())

    def _list_and_watch(self) -> Snapshot:
        """All leases as they are, and from there on messages in the inbox."""
        snapshot = self._registry.snapshot()
        self._watch += 1
        number = self._watch
        self._registry.watch(snapshot.revision, lambda message: self._inbox.put((number, message)))
        return snapshot

    def _next_changes(self) -> Changes | None:
        """What the watch says next, or None. Raises `WatchEnded`, or `Unavailable` where nobody answers."""
        received = self._time.receive(self._inbox, PROBE)
        self._heed_stop()
        if received is None:
            self._registry.probe()
            return None
        number, message = received
        if number != self._watch:
            return None
        if isinstance(message, Reset):
            raise WatchEnded(message.reason)
        return message

    def _take(self, news: Snapshot | Changes, backend: Backend) -> str:
        """Take over what happened; answers why our lease is lost, if it is by that."""
        if isinstance(news, Snapshot):
            claim = self._claim.after_list(news)
            if isinstance(claim, Lost):
                return claim.reason
            self._claim = claim
            self._view.reset(news)
        else:
            for change in news.events:
                claim = self._claim.after(change)
                if isinstance(claim, Lost):
                    return claim.reason
                self._claim = claim
                self._view.apply(change)
        self._carry(backend)
        return ""

    def _carry(self, backend: Backend) -> None:
        """Have packets carried by what is known now, and say what is new."""
        peers = self._view.peers(self._claim.subnet)
        for event in diff(self._announced, peers):
            logger.info("%s", words(event))
        self._announced = peers
        backend.carry(self._reachable(), self._claim.expires_at)

    def _repair(self, backend: Backend) -> None:
        """Make anew what broke on this machine; that takes no etcd."""
        if reason := backend.broken():
            logger.error("%s: making it anew", reason)
            backend.claim(self._claim.subnet)
            backend.carry(self._reachable(), self._claim.expires_at)

    def _reachable(self) -> dict[IPv4Network, Lease]:
        """The others, without a second lease of our own address: its packets would come back to us."""
        peers = self._view.peers(self._claim.subnet)
        return {subnet: lease for subnet, lease in peers.items() if lease.attrs.public_ip != self._public_ip}

    def _renew_if_due(self, backend: Backend) -> str:
        """Renew our lease when it is time; answers why it is lost, if it is."""
        now = self._time.now()
        if now >= self._claim.expires_at:
            return "it could not be renewed in time"
        due = self._claim.renew_at(self._options.subnet_lease_renew_margin)
        if now < max(due, self._retry_renewal_at):
            return ""
        self._retry_renewal_at = now + RENEW_RETRY
        try:
            return self._renew(backend, now)
        except Unavailable as error:
            logger.error("Error renewing lease (trying again in %.0f s): %s", RENEW_RETRY, error)  # noqa: TRY400
            return ""

    def _renew(self, backend: Backend, now: float) -> str:
        held, attrs = self._claim.held, backend.attrs(self._public_ip)
        revision = self._registry.renew(self._claim.subnet, held.revision, attrs)
        if revision is None:
            # Perhaps by our own hand: an attempt whose answer never came.
            claim = self._claim.after_list(self._registry.snapshot())
            if isinstance(claim, Lost):
                return claim.reason
            self._claim = claim
            return ""
        self._claim = Claim(HeldLease(Lease(self._claim.subnet, attrs), revision), now)
        self._retry_renewal_at = float("-inf")
        self._carry(backend)
        logger.info("Lease renewed: %s", self._claim.subnet)
        return ""

    def _rest(self, seconds: float) -> None:
        self._time.rest(seconds)
        self._heed_stop()

    def _heed_stop(self) -> None:
        if self._time.stopping.is_set():
            raise Stopped

    def _complain(self, patience: Patience, what: str, why: str = "") -> None:
        """Say a failure if it is worth saying; `why` may differ each time."""
        if patience.worth_saying(what, self._time.now()):
            logger.error("%s", f"{what}: {why}" if why else what)
