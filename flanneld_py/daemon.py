"""The sequence: config -> lease -> backend -> subnet.env -> READY -> watch and renew."""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from flanneld_py import allocate, config, firewall, subnet_env
from flanneld_py.allocate import HeldLease
from flanneld_py.backend import Backend
from flanneld_py.config import NetworkConfig
from flanneld_py.errors import Fatal
from flanneld_py.holder import Claim, View, words
from flanneld_py.lease import Event, Lease
from flanneld_py.notify import notify
from flanneld_py.options import Options
from flanneld_py.patience import Patience
from flanneld_py.registry import Changes, Registry, Reset, Unavailable, WatchMessage

__all__ = ["Daemon", "Inbox", "Time"]

logger = logging.getLogger(__name__)

PROBE = 5.0
"""Seconds of silence on the watch after which the endpoint is asked whether it still answers."""

RENEW_RETRY = 60.0
"""Seconds until a renewal that failed is tried again, as in flannel."""


Inbox = queue.SimpleQueue[tuple[int, WatchMessage]]


class Time:
    """The clock, and letting time pass; a test puts its own in place."""

    def now(self) -> float:
        """Seconds, from any beginning, that never go back (CLOCK_MONOTONIC)."""
        return time.monotonic()

    def rest(self, seconds: float) -> None:
        """Do nothing for so long; a signal ends it."""
        threading.Event().wait(seconds)

    def receive(self, inbox: Inbox, seconds: float) -> tuple[int, WatchMessage] | None:
        """The next of the inbox, or None if nothing comes for so long."""
        try:
            return inbox.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            return None


class Daemon:
    """One machine's flanneld. Its surroundings are arguments, so that tests need neither etcd nor root."""

    def __init__(
        self,
        options: Options,
        registry: Registry,
        public_ip: IPv4Address,
        *,
        open_backend: Callable[[NetworkConfig], Backend],
        time: Time | None = None,
        pick: Callable[[Sequence[IPv4Network]], IPv4Network] = random.choice,
    ) -> None:
        self._options = options
        self._registry = registry
        self._public_ip = public_ip
        self._open_backend = open_backend
        self._time = time or Time()
        self._pick = pick
        self._inbox: Inbox = queue.SimpleQueue()
        self._watch = 0  # the number of the watch that counts; what an older one still delivers does not
        self._view = View()
        self._backend: Backend | None = None
        self._claim: Claim

    def run(self) -> None:
        """Do everything, for ever. Raises `Fatal`, or whatever a signal handler raises."""
        network, backend = self._await_config()
        if self._options.ip_masq:
            firewall.masquerade(network.network)
        previous = self._previous_subnet()
        while True:
            self._claim = self._acquire(network, backend, previous)
            subnet = self._claim.held.lease.subnet
            backend.claim(subnet)
            self._announce(network, backend, previous)
            reason = self._keep(backend)
            logger.error(
                "Lease of %s lost: %s. Nothing is forwarded until a lease is held again", subnet, reason
            )
            backend.release()
            previous = subnet

    def close(self) -> None:
        """Stop everything that `run` began."""
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
                self._complain(patience, f"Failed to retrieve network config: etcd does not answer: {error}")
            else:
                if text is not None:
                    break
                self._complain(patience, f"Failed to retrieve network config: etcd has no key {key} yet")
            self._time.rest(patience.delay())
        try:
            network = config.parse(text)
            self._backend = self._open_backend(network)
        except config.ConfigError as error:
            raise Fatal(f"Bad network config in {key}: {error}") from error
        return network, self._backend

    def _acquire(self, network: NetworkConfig, backend: Backend, previous: IPv4Network | None) -> Claim:
        """Hold a lease, however long it takes."""
        patience = Patience()
        logger.info("Picking subnet in range %s ... %s", network.subnet_min, network.subnet_max)
        while True:
            try:
                asked_at = self._time.now()
                held = self._try_acquire(network, backend, previous)
            except Unavailable as error:
                self._complain(patience, f"Failed to acquire subnet: etcd does not answer: {error}")
            except allocate.OutOfSubnets as error:
                self._complain(patience, f"Failed to acquire subnet: {error}")
            else:
                if held is not None:
                    logger.info("Subnet lease acquired: %s", held.lease.subnet)
                    return Claim(held, asked_at)
                continue  # somebody was quicker: look again, at once
            self._time.rest(patience.delay())

    def _try_acquire(
        self, network: NetworkConfig, backend: Backend, previous: IPv4Network | None
    ) -> HeldLease | None:
        registry, attrs = self._registry, backend.attrs(self._public_ip)
        known = registry.snapshot()
        choice = allocate.choose_subnet(
            network, list(known.leases.values()), self._public_ip, previous, self._pick, known.taken
        )
        match choice:
            case allocate.Reuse(lease, known_revision):
                subnet = lease.subnet
                logger.info("Found lease (%s) for current IP (%s), reusing", subnet, self._public_ip)
                revision = registry.renew(subnet, known_revision, attrs)
            case allocate.Replace(old, subnet):
                text = "Found lease (%s) for current IP (%s) but not compatible with current config, deleting"
                logger.info(text, old.lease.subnet, self._public_ip)
                revision = registry.replace(choice, attrs)
            case allocate.Create(subnet):
                if subnet == previous:
                    logger.info("Found previously leased subnet (%s), reusing", subnet)
                revision = registry.create(subnet, attrs)
        return None if revision is None else HeldLease(Lease(subnet, attrs), revision)

    def _previous_subnet(self) -> IPv4Network | None:
        try:
            return subnet_env.previous_subnet(Path(self._options.subnet_file).read_text())
        except (OSError, UnicodeDecodeError):
            return None  # the first start: there is no file yet

    def _announce(self, network: NetworkConfig, backend: Backend, previous: IPv4Network | None) -> None:
        """Write subnet.env, then tell the service manager that we are ready."""
        subnet = self._claim.held.lease.subnet
        env = subnet_env.SubnetEnv.of(network.network, subnet, backend.mtu, self._options.ip_masq)
        _write(Path(self._options.subnet_file), subnet_env.render(env))
        if previous is not None and previous != subnet:
            logger.warning(
                "The subnet was %s and is %s: restart what uses it, such as docker", previous, subnet
            )
        notify("READY=1")

    # While there is one

    def _keep(self, backend: Backend) -> str:
        """Follow the other leases and renew ours, until it is lost; answers why."""
        logger.info("Watching for new subnet leases")
        patience = Patience()
        renew_at = self._claim.renew_at(self._options.subnet_lease_renew_margin)
        while True:
            try:
                if reason := self._begin_watch(backend):
                    return reason
                patience = Patience()
                while True:
                    now = self._time.now()
                    if now >= self._claim.expires_at:
                        return "it could not be renewed in time"
                    if now >= renew_at:
                        if reason := self._renew(backend):
                            return reason
                        renew_at = self._claim.renew_at(self._options.subnet_lease_renew_margin)
                    message = self._next(min(PROBE, renew_at - now))
                    if isinstance(message, Reset):
                        raise Unavailable(message.reason)
                    for event in message.events if message else ():
                        if reason := self._claim.lost(event):
                            return reason
                        self._log(self._view.apply(event, self._claim.held.lease.subnet))
                    if message:
                        backend.peers(self._view.leases)
            except Unavailable as error:
                self._complain(patience, f"Watch subnets: {error}")
                if self._time.now() >= self._claim.expires_at:
                    return "it could not be renewed in time"
                self._time.rest(patience.delay())

    def _begin_watch(self, backend: Backend) -> str:
        """List all leases and watch from there; answers why ours is lost, if the list shows that."""
        self._registry.close()
        snapshot = self._registry.snapshot()
        if reason := self._claim.missing_from(snapshot):
            return reason
        self._log(self._view.reset(snapshot.leases, self._claim.held.lease.subnet))
        backend.peers(self._view.leases)
        self._watch += 1
        number = self._watch
        self._registry.watch(snapshot.revision, lambda message: self._inbox.put((number, message)))
        return ""

    def _next(self, seconds: float) -> Changes | Reset | None:
        """The next message of the watch; None when there was none in that time and the endpoint answers."""
        received = self._time.receive(self._inbox, seconds)
        if received is None:
            return None if self._registry.alive() else Reset("etcd does not answer any more")
        number, message = received
        return message if number == self._watch else None

    def _renew(self, backend: Backend) -> str:
        """Renew our lease; answers why it is lost, if it is. Raises `Unavailable`."""
        asked_at = self._time.now()
        held = self._claim.held
        attrs = backend.attrs(self._public_ip)
        revision = self._registry.renew(held.lease.subnet, held.revision, attrs)
        if revision is None:
            return "its key is not as we wrote it"
        self._claim = Claim(HeldLease(Lease(held.lease.subnet, attrs), revision), asked_at)
        logger.info("Lease renewed: %s", held.lease.subnet)
        return ""

    def _log(self, events: Sequence[Event]) -> None:
        for event in events:
            logger.info("%s", words(event))

    def _complain(self, patience: Patience, message: str) -> None:
        if patience.worth_saying(message, self._time.now()):
            logger.error("%s", message)


def _write(path: Path, text: str) -> None:
    """Rename the text into place, mode 0644, so that nobody ever reads half of it. Raises `Fatal`."""
    temporary = path.with_name(f".{path.name}")  # flannel's own name for it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise Fatal(
            f"Writing {path}: {error.strerror}; another place can be given with -subnet-file"
        ) from error
