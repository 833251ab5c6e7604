"""Holds a lease: renews it, and follows the other machines' leases."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from flanneld_py.backend import Backend
from flanneld_py.backend.catalog import parse_config
from flanneld_py.config import ConfigError, changes
from flanneld_py.config.model import NetworkConfig
from flanneld_py.daemon.announcer import Announcer
from flanneld_py.daemon.claim import Claim, Lost, PeerView, words
from flanneld_py.daemon.event_queue import BATCH, EventQueue
from flanneld_py.daemon.reconcile import Reconciler
from flanneld_py.errors import Stopped
from flanneld_py.lease.admission import Admission
from flanneld_py.lease.model import Lease, PeerAdded, PeerEvent, StoredLease
from flanneld_py.lease.validation import ProtectedAddresses
from flanneld_py.monitor.status import BEHIND, NetworkStatus
from flanneld_py.registry import Announcement, LeaseChanges, Registry, RegistryUnavailable, Reset, Snapshot
from flanneld_py.registry.watchdog import Watchdog
from flanneld_py.runtime.backoff import Backoff
from flanneld_py.runtime.clock import Time
from flanneld_py.runtime.log_sampling import LogSample

__all__ = ["LeaseLoop"]

logger = logging.getLogger(__name__)

RENEW_RETRY = 10.0
"""Seconds before a failed renewal is retried; flannel's minute would use up a renewal margin of one minute.

Also the minimum time between rewrites of our key when another writer keeps overwriting it.
"""

ADDRESS_CHECK_INTERVAL = 10.0
"""Seconds between checks of the addresses that no lease may cover: our own, gateways, the registry's."""

TENDING = 2.0
"""Seconds between looks at this machine while the registry is not to be asked for longer than usual."""

MAX_LISTED_REFUSALS = 20
"""Maximum number of refused leases listed in /state."""

MIN_WAIT = 0.01
"""Minimum wait in seconds: after a shorter one the clock may not have advanced, and the loop would spin."""

MAX_LOGGED_CHANGES = 100
"""If more peers than this are added or removed at once, only their number is logged."""


class _WatchEnded(Exception):
    """The watch has ended, for the reason given."""


class LeaseLoop:
    """Holds one lease at a time: `begin` takes a new one, `keep` returns when it is lost.

    `config` is the running configuration, as text and parsed; `needs` must not block.
    """

    def __init__(
        self,
        registry: Registry,
        backend: Backend,
        reconciler: Reconciler,
        view: PeerView,
        time: Time,
        event_queue: EventQueue,
        status: NetworkStatus,
        *,
        config: tuple[bytes, NetworkConfig],
        renew_margin: int,
        needs: Callable[[], ProtectedAddresses] = ProtectedAddresses,
    ) -> None:
        self._registry = registry
        self._backend = backend
        self._announcer = Announcer(registry, backend, time)
        self._reconciler = reconciler
        self._view = view
        self._time = time
        self._event_queue = event_queue
        self._status = status
        self._config_text, self._network = config
        self._renew_margin = renew_margin
        self._retry_renewal_at = float("-inf")
        self._watchdog = Watchdog(time.now())
        self._initial_snapshot: Snapshot | None = None
        self._overwritten_log = Backoff()
        self._needs = needs
        self._recheck_at = float("-inf")
        self._log_sample = LogSample()
        self._reported: tuple[Admission | None, int] = (None, 0)
        self._lag_log = Backoff()
        self.claim: Claim

    def begin(self, claim: Claim, snapshot: Snapshot) -> None:
        """Start with this lease and the peers in the snapshot; later changes come from the watch."""
        self.claim, self._initial_snapshot = claim, snapshot
        self._announcer.begin()
        self._retry_renewal_at = float("-inf")
        self._watchdog = Watchdog(self._time.now())
        rules, self._recheck_at = self._view.rules, self._time.now() + ADDRESS_CHECK_INTERVAL
        self._view.judge_by(replace(rules, own=claim.subnet, needs=self._needs()))
        events = self._view.reset(snapshot)
        self._backend.carry(self._view.peers, claim.expires_at)
        self._log_changes(events)
        self._log_refused()
        # Set last: other threads ignore the rest of the status while there is no subnet.
        self._status.expires_at, self._status.subnet = claim.expires_at, claim.subnet
        self._reconciler.begin()

    def keep(self) -> str:
        """Renew our lease and follow the others, until ours is lost; returns why."""
        reason = self._keep()
        self._event_queue.end()
        return reason

    def _keep(self) -> str:
        logger.info("Watching for new subnet leases")
        steps = (self._renew_if_due, self._announce, self._receive, self._recheck_leases, self._tend)
        while True:
            began = self._time.now()
            try:
                if lost := self._list_and_watch():
                    return lost
                self._watchdog.begun(self._time.now(), self._time.now() - began)
                while True:
                    for step in steps:
                        if lost := self._lost() or step():
                            return lost
            except (RegistryUnavailable, _WatchEnded) as error:
                backoff = self._watchdog.ended(self._time.now())
                trouble = f": {error.trouble}" if isinstance(error, RegistryUnavailable) else ""
                self._complain(backoff, f"Watch subnets{trouble}", str(error))
                if lost := self._rest(backoff.delay()):
                    return lost

    def _rest(self, delay: float) -> str:
        """Wait until the next attempt, and look after this machine; returns why our lease was lost, or ""."""
        left = self._time.spread(self._watchdog.rest(self._time.now(), delay))
        while left > 0:
            if lost := self._lost() or self._tend():
                return lost
            step = min(left, max(delay, TENDING))
            self._time.rest(self._capped_by_expiry(step))
            left -= step
        return self._lost()

    def _lost(self) -> str:
        """Why our lease is now lost, or "". Called before each step, since any step may take long."""
        self._raise_if_stopping()
        if self._time.now() >= self.claim.expires_at:
            return "it could not be renewed in time"
        for change in self._event_queue.own():
            if lost := self._adopt(self.claim.after(change)):
                return lost
        return ""

    def _capped_by_expiry(self, seconds: float) -> float:
        """`seconds`, shortened to the time left on our lease, but at least MIN_WAIT."""
        return max(MIN_WAIT, min(seconds, self.claim.expires_at - self._time.now()))

    def _announce(self) -> str:
        self._announcer.announce_if_due(self.claim.held)
        return ""

    def _tend(self) -> str:
        """Run the checks of this machine that are due; returns why our lease was lost meanwhile, or ""."""
        for _ in self._reconciler.tend(self.claim, self._view.peers):
            if lost := self._lost():
                return lost
        return ""

    # What the registry reports

    def _list_and_watch(self) -> str:
        """List all leases, and start a watch that delivers later changes to the queue."""
        initial, self._initial_snapshot = self._initial_snapshot, None
        snapshot = initial or self._registry.snapshot()
        self._registry_answered()
        self._status.watches += 1
        self._registry.watch(snapshot.revision, self._event_queue.begin(self.claim.concerns))
        if initial:  # this list predates our own lease, so it says nothing about it
            return ""
        if lost := self._adopt(self.claim.after_list(snapshot)):
            return lost
        self._announcer.listed(self.claim.subnet, snapshot.announced)
        return self._apply_to_backend(self._view.reset(snapshot))

    def _receive(self) -> str:
        """Wait for the next message and apply it. Raises `_WatchEnded` or `RegistryUnavailable`."""
        now = self._time.now()
        if self._watchdog.must_probe(now, idle=self._event_queue.empty()):
            self._check_config(self._registry.probe())
            self._registry_answered()
            self._watchdog.probed(self._time.now())
        left = self._watchdog.time_left(self._time.now())
        message = self._time.receive(self._event_queue, self._capped_by_expiry(left))
        self._raise_if_stopping()
        if message is None:
            return ""
        if isinstance(message, Reset):
            raise _WatchEnded(message.reason)
        self._registry_answered()
        return self._apply(message)

    def _apply(self, message: LeaseChanges | Announcement) -> str:
        """Apply a change of other machines' leases; returns why our lease was lost meanwhile, or ""."""
        if isinstance(message, Announcement):
            self._announcer.heard(self.claim.subnet, message)
            lost = self._apply_to_backend(self._view.hear(message))
        else:
            lost = self._apply_to_backend(self._view.apply(message.events))
        self._status.last_lag = lag = self._event_queue.done()
        if lag > BEHIND and self._lag_log.worth_saying("", self._time.now()):
            text = "A lease change waited %.1f s before it was applied: this machine cannot keep up with "
            text += "lease changes"
            logger.warning(text, lag)
        return lost

    def _adopt(self, claim: Claim | Lost) -> str:
        """Adopt this claim; returns why our lease is lost, or ""."""
        if isinstance(claim, Lost):
            return claim.reason
        was_permanent, permanent = self.claim.held.permanent, claim.held.permanent
        self.claim = claim
        if permanent and not was_permanent:
            text = "Our lease of %s was turned into a reservation, which does not expire"
            logger.info(text, claim.subnet)
            self._extend()
        elif was_permanent and not permanent:
            text = "Our reservation of %s was turned into an ordinary lease, which is renewed from now on"
            logger.info(text, claim.subnet)
            self.claim = replace(claim, asked_at=self._time.now())
            self._extend()
        if claim.spoiled:
            text = "Lease %s was overwritten by another writer: restoring it"
            if self._overwritten_log.worth_saying(text, self._time.now()):
                logger.warning(text, claim.subnet)
        return ""

    def _extend(self) -> None:
        self._backend.extend(self.claim.expires_at)
        self._status.expires_at = self.claim.expires_at

    def _apply_to_backend(self, events: Sequence[PeerEvent]) -> str:
        """Pass changes to the backend in batches; returns why our lease was lost meanwhile, or ""."""
        for first in range(0, len(events), BATCH):
            if lost := self._lost():
                return lost
            self._backend.change(events[first : first + BATCH])
        self._log_changes(events)
        self._log_refused()
        return ""

    def _recheck_leases(self) -> str:
        """Re-evaluate all leases if the addresses that none may cover have changed."""
        if self._time.now() < self._recheck_at:
            return ""
        self._recheck_at = self._time.now() + ADDRESS_CHECK_INTERVAL
        return self._apply_to_backend(self._view.judge_by(replace(self._view.rules, needs=self._needs())))

    def _log_refused(self) -> None:
        """Log newly refused leases, rate-limited, and update the counts in the status."""
        for refused in self._view.newly_refused():
            lease = refused.held.lease
            text = f"Refusing the lease of {lease.subnet} by {lease.attrs.public}: {refused.refusal.reason}"
            if line := self._log_sample.tell(text, self._time.now()):
                logger.warning("%s", line)
        admission = self._view.admission
        if self._reported != (admission, admission.changes):
            self._reported = admission, admission.changes
            self._status.refusals = admission.refusals(MAX_LISTED_REFUSALS)

    def _log_changes(self, events: Sequence[PeerEvent]) -> None:
        """Log the peers that were added or removed."""
        changes = [event for event in events if not (isinstance(event, PeerAdded) and event.again)]
        if len(changes) > MAX_LOGGED_CHANGES:
            added = sum(isinstance(event, PeerAdded) for event in changes)
            logger.info("Subnets added: %d, removed: %d", added, len(changes) - added)
        else:
            for event in changes:
                logger.info("%s", words(event))

    def _check_config(self, text: bytes | None) -> None:
        """Warn once per new configuration text that differs from the one we run with."""
        if text is None or text == self._config_text:
            return
        self._config_text = text
        try:
            changed = changes(self._network, parse_config(text), self.claim.subnet)
        except ConfigError as error:
            message = "The network configuration was changed and can no longer be used: %s. This flanneld "
            message += "continues with the old configuration, but would not start with the new one"
            logger.warning(message, error)
            return
        for change in changed:
            logger.warning("The network configuration was changed: %s", change)

    # What is due

    def _renew_if_due(self) -> str:
        """Renew our lease if that is due; returns why it is lost, or ""."""
        now = self._time.now()
        due = self.claim.renew_at(self._renew_margin)
        if self._backend.attrs() != self.claim.held.lease.attrs:
            due = now  # peers must learn of our new address or MAC now
        if now < max(due, self._retry_renewal_at):
            return ""
        self._retry_renewal_at = now + RENEW_RETRY
        try:
            return self._renew(now)
        except RegistryUnavailable as error:
            self._status.renewal_failures += 1
            self._status.trouble = f"Error renewing lease: {error}"
            logger.error("Error renewing lease (trying again in %.0f s): %s", RENEW_RETRY, error)  # noqa: TRY400
            return ""

    def _renew(self, now: float) -> str:
        held, attrs = self.claim.held, self._backend.attrs()
        self.claim = replace(self.claim, asked=attrs.public)
        revision = self._registry.renew(held, attrs)
        if revision is None:
            # The key's revision has changed, perhaps by an attempt of ours whose answer never arrived.
            return self._adopt(self.claim.after_list(self._registry.snapshot()))
        renewed = StoredLease(Lease(held.lease.subnet, attrs), revision, permanent=held.permanent)
        if not self.claim.spoiled:  # a stubborn writer keeps the retry interval
            self._retry_renewal_at = float("-inf")
        self.claim = Claim(renewed, now)
        self._extend()
        rules = replace(self._view.rules, public=attrs.public)
        if lost := self._apply_to_backend(self._view.judge_by(rules)):
            return lost
        self._status.renewed += 1
        logger.info("Lease renewed: %s", self.claim.subnet)
        return ""

    def _registry_answered(self) -> None:
        self._status.trouble = ""
        self._status.heard_at = self._time.now()
        self._watchdog.heard(self._status.heard_at)

    def _raise_if_stopping(self) -> None:
        if self._time.stopping.is_set():
            raise Stopped

    def _complain(self, backoff: Backoff, what: str, why: str) -> None:
        """Log a failure unless the same `what` was logged recently; `why` may vary."""
        self._status.trouble = f"{what}: {why}"
        if backoff.worth_saying(what, self._time.now()):
            logger.error("%s: %s", what, why)
