"""While a lease is held: follow the others' leases, and renew ours."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from flanneld_py.backend import Backend
from flanneld_py.backend.catalog import parse_config
from flanneld_py.config import ConfigError, changes
from flanneld_py.config.model import NetworkConfig
from flanneld_py.daemon.announcer import Announcer
from flanneld_py.daemon.claim import Claim, Lost, PeerView, words
from flanneld_py.daemon.event_queue import EventQueue
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
"""Seconds until a failed renewal is retried; flannel's minute is too long for a margin of one minute.

Also between two times that we overwrite what somebody else wrote in our name, in case they are as stubborn.
"""

LOOK = 10.0
"""Seconds between two checks of which addresses this machine needs."""

EXAMPLES = 20
"""How many refused leases the state names."""

MOMENT = 0.01
"""Minimum wait in seconds: a difference of times may be too small to advance the clock."""

AT_ONCE = 256
"""Changes that the backend gets at a time; our own lease is checked in between."""

MANY = 100
"""If more peers than this come or go at once, only their number is logged."""


class _WatchEnded(Exception):
    """The watch has ended, for the reason given."""


class LeaseLoop:
    """Keeps one lease after another: `begin` with it, `keep` it until it is lost.

    `config` is the configuration that the daemon runs with, as text and parsed; `needs` answers at once.
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
        self._listed: Snapshot | None = None
        self._others = Backoff()  # towards others who write in our name
        self._needs = needs
        self._look_at = float("-inf")
        self._log_sample = LogSample()
        self._counted: tuple[Admission | None, int] = (None, 0)
        self._late = Backoff()
        self.claim: Claim

    def begin(self, claim: Claim, snapshot: Snapshot) -> None:
        """Carry packets to all peers in the snapshot; what happened since is still to come."""
        self.claim, self._listed = claim, snapshot
        self._announcer.begin()
        self._retry_renewal_at = float("-inf")
        self._watchdog = Watchdog(self._time.now())
        rules, self._look_at = self._view.rules, self._time.now() + LOOK
        self._view.judge_by(replace(rules, own=claim.subnet, needs=self._needs()))
        events = self._view.reset(snapshot)
        self._backend.carry(self._view.peers, claim.expires_at)
        self._log_changes(events)
        self._log_refused()
        # Last, as others read the rest only once there is a subnet.
        self._status.expires_at, self._status.subnet = claim.expires_at, claim.subnet
        self._reconciler.begin()

    def keep(self) -> str:
        """Follow the other leases and renew ours, until it is lost; returns why."""
        reason = self._keep()
        self._event_queue.end()
        return reason

    def _keep(self) -> str:
        logger.info("Watching for new subnet leases")
        steps = (self._renew_if_due, self._announce, self._hear, self._look_around, self._tend)
        while True:
            try:
                if lost := self._list_and_watch():
                    return lost
                self._watchdog.begun(self._time.now())
                while True:
                    for step in steps:
                        if lost := self._lost() or step():
                            return lost
            except (RegistryUnavailable, _WatchEnded) as error:
                backoff = self._watchdog.ended(self._time.now())
                trouble = f": {error.trouble}" if isinstance(error, RegistryUnavailable) else ""
                self._complain(backoff, f"Watch subnets{trouble}", str(error))
                if lost := self._lost() or self._tend():
                    return lost
                self._time.rest(self._until_the_end(backoff.delay()))
                self._heed_stop()
                if lost := self._lost():
                    return lost

    def _lost(self) -> str:
        """Why our lease is lost by now; "" if it is not. Called before each step, as any may take long."""
        self._heed_stop()
        if self._time.now() >= self.claim.expires_at:
            return "it could not be renewed in time"
        for change in self._event_queue.own():
            if lost := self._follow(self.claim.after(change)):
                return lost
        return ""

    def _until_the_end(self, seconds: float) -> float:
        """So many seconds, but not beyond the end of our lease."""
        return max(MOMENT, min(seconds, self.claim.expires_at - self._time.now()))

    def _announce(self) -> str:
        self._announcer.announce_if_due(self.claim.held)
        return ""

    def _tend(self) -> str:
        """Reconcile this machine; returns why our lease is lost, if it is meanwhile."""
        for _ in self._reconciler.tend(self.claim, self._view.peers):
            if lost := self._lost():
                return lost
        return ""

    # What the registry reports

    def _list_and_watch(self) -> str:
        """Take over all leases as they are, and have later changes delivered to the queue."""
        listed, self._listed = self._listed, None
        snapshot = listed or self._registry.snapshot()
        self._heard()
        self._status.watches += 1
        self._registry.watch(snapshot.revision, self._event_queue.begin(self.claim.concerns))
        if listed:  # from before our own lease was written
            return ""
        if lost := self._follow(self.claim.after_list(snapshot)):
            return lost
        self._announcer.listed(self.claim.subnet, snapshot.announced)
        return self._pass_on(self._view.reset(snapshot))

    def _hear(self) -> str:
        """Take over what the watch delivers next. Raises `_WatchEnded`, or `RegistryUnavailable`."""
        now = self._time.now()
        if self._watchdog.must_probe(now, idle=self._event_queue.empty()):
            self._compare(self._registry.probe())
            self._heard()
            self._watchdog.probed(self._time.now())
        left = self._watchdog.time_left(self._time.now())
        message = self._time.receive(self._event_queue, self._until_the_end(left))
        self._heed_stop()
        if message is None:
            return ""
        if isinstance(message, Reset):
            raise _WatchEnded(message.reason)
        self._heard()
        return self._take(message)

    def _take(self, message: LeaseChanges | Announcement) -> str:
        """Take over what happened to the others; returns why our lease is lost, if it is meanwhile."""
        if isinstance(message, Announcement):
            self._announcer.heard(self.claim.subnet, message)
            lost = self._pass_on(self._view.hear(message))
        else:
            lost = self._pass_on(self._view.apply(message.events))
        self._status.last_lag = lag = self._event_queue.done()
        if lag > BEHIND and self._late.worth_saying("", self._time.now()):
            text = "A lease change has waited %.1f s to be applied: this machine is too slow for them"
            logger.warning(text, lag)
        return lost

    def _follow(self, claim: Claim | Lost) -> str:
        """Go by this claim from now on; returns why our lease is lost, if it is."""
        if isinstance(claim, Lost):
            return claim.reason
        was_permanent, permanent = self.claim.held.permanent, claim.held.permanent
        self.claim = claim
        if permanent and not was_permanent:
            logger.info("Our lease of %s was made a reservation, which has no end", claim.subnet)
            self._extend()
        elif was_permanent and not permanent:
            logger.info("Our reservation of %s was made a lease, which is renewed from now on", claim.subnet)
            self.claim = replace(claim, asked_at=self._time.now())
            self._extend()
        if claim.spoiled:
            text = "Lease %s was overwritten by another writer: restoring it"
            if self._others.worth_saying(text, self._time.now()):
                logger.warning(text, claim.subnet)
        return ""

    def _extend(self) -> None:
        self._backend.extend(self.claim.expires_at)
        self._status.expires_at = self.claim.expires_at

    def _pass_on(self, events: Sequence[PeerEvent]) -> str:
        """Hand changes to the backend; returns why our lease is lost, if it is meanwhile."""
        for first in range(0, len(events), AT_ONCE):
            if lost := self._lost():
                return lost
            self._backend.change(events[first : first + AT_ONCE])
        self._log_changes(events)
        self._log_refused()
        return ""

    def _look_around(self) -> str:
        """Judge the leases again, if this machine's addresses or gateways have changed."""
        if self._time.now() < self._look_at:
            return ""
        self._look_at = self._time.now() + LOOK
        return self._pass_on(self._view.judge_by(replace(self._view.rules, needs=self._needs())))

    def _log_refused(self) -> None:
        """Log refused leases, but not too many of them, and count all in the status."""
        for refused in self._view.newly_refused():
            lease = refused.held.lease
            text = f"Refusing the lease of {lease.subnet} by {lease.attrs.public}: {refused.refusal.reason}"
            if line := self._log_sample.tell(text, self._time.now()):
                logger.warning("%s", line)
        admission = self._view.admission
        if self._counted != (admission, admission.changes):
            self._counted = admission, admission.changes
            self._status.refusals = admission.refusals(EXAMPLES)

    def _log_changes(self, events: Sequence[PeerEvent]) -> None:
        """Log what has taken effect."""
        changes = [event for event in events if not (isinstance(event, PeerAdded) and event.again)]
        if len(changes) > MANY:
            added = sum(isinstance(event, PeerAdded) for event in changes)
            logger.info("Subnets added: %d, removed: %d", added, len(changes) - added)
        else:
            for event in changes:
                logger.info("%s", words(event))

    def _compare(self, text: bytes | None) -> None:
        """Warn, once, when the configuration is no longer the one that we run with."""
        if text is None or text == self._config_text:
            return
        self._config_text = text
        try:
            changed = changes(self._network, parse_config(text), self.claim.subnet)
        except ConfigError as error:
            text_now = "The network configuration was changed and can no longer be used: %s"
            text_now += ". This flanneld keeps running as it is, but would not start again"
            logger.warning(text_now, error)
            return
        for change in changed:
            logger.warning("The network configuration was changed: %s", change)

    # What is due

    def _renew_if_due(self) -> str:
        """Renew our lease when it is time; returns why it is lost, if it is."""
        now = self._time.now()
        due = self.claim.renew_at(self._renew_margin)
        if self._backend.attrs() != self.claim.held.lease.attrs:
            due = now
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
            # Perhaps by ourselves: an attempt whose answer never arrived.
            return self._follow(self.claim.after_list(self._registry.snapshot()))
        renewed = StoredLease(Lease(held.lease.subnet, attrs), revision, permanent=held.permanent)
        if not self.claim.spoiled:
            self._retry_renewal_at = float("-inf")
        self.claim = Claim(renewed, now)
        self._extend()
        if lost := self._pass_on(self._view.judge_by(replace(self._view.rules, public=attrs.public))):
            return lost
        self._status.renewed += 1
        logger.info("Lease renewed: %s", self.claim.subnet)
        return ""

    def _heard(self) -> None:
        self._status.trouble = ""
        self._status.heard_at = self._time.now()
        self._watchdog.heard(self._status.heard_at)

    def _heed_stop(self) -> None:
        if self._time.stopping.is_set():
            raise Stopped

    def _complain(self, backoff: Backoff, what: str, why: str) -> None:
        """Log a failure, if it is time to; `why` may differ each time."""
        self._status.trouble = f"{what}: {why}"
        if backoff.worth_saying(what, self._time.now()):
            logger.error("%s: %s", what, why)
