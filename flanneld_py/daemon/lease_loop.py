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
"""Seconds until a renewal that failed is tried again; flannel's minute is too long for a margin of one.

Also between two times that we write over what another wrote in our name, who may be as stubborn.
"""

LOOK = 10.0
"""Seconds between two looks at which addresses this machine needs."""

EXAMPLES = 20
"""Refused leases that the state names."""

MOMENT = 0.01
"""Seconds that are waited at least: a difference of times may be too small to bring the clock on."""

AT_ONCE = 256
"""Changes that the backend gets at a time; between two times our own lease is looked after."""

MANY = 100
"""Peers that come or go at once and are told of by their number; fewer are told one by one."""


class _WatchEnded(Exception):
    """The watch said why it has ended."""


class LeaseLoop:
    """Keeps one lease after another: `begin` with it, `keep` it until it is lost.

    `config` is the configuration that the daemon runs with, as text and read; `needs` answers at once.
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
        self._others = Backoff()  # with those who write in our name
        self._needs = needs
        self._look_at = float("-inf")
        self._sparing = LogSample()
        self._counted = (0, 0)
        self._late = Backoff()
        self.claim: Claim

    def begin(self, claim: Claim, snapshot: Snapshot) -> None:
        """Carry packets to everybody who is in the snapshot; what happened since is still to come."""
        self.claim, self._listed = claim, snapshot
        self._announcer.begin()
        self._retry_renewal_at = float("-inf")
        self._watchdog = Watchdog(self._time.now())
        rules, self._look_at = self._view.rules, self._time.now() + LOOK
        self._view.judge_by(replace(rules, own=claim.subnet, needs=self._needs()))
        events = self._view.reset(snapshot)
        self._backend.carry(self._view.peers, claim.expires_at)
        self._told(events)
        self._tell_refused()
        # The subnet is what makes others read the rest.
        self._status.expires_at, self._status.subnet = claim.expires_at, claim.subnet
        self._reconciler.begin()

    def keep(self) -> str:
        """Follow the other leases and renew ours, until it is lost; answers why."""
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
        """Why our lease is lost by now; "" if it is not. Asked before each step, for any may take long."""
        self._heed_stop()
        if self._time.now() >= self.claim.expires_at:
            return "it could not be renewed in time"
        for change in self._event_queue.own():
            if lost := self._follow(self.claim.after(change)):
                return lost
        return ""

    def _until_the_end(self, seconds: float) -> float:
        """So many seconds, or what is left of our lease, if that is less."""
        return max(MOMENT, min(seconds, self.claim.expires_at - self._time.now()))

    def _announce(self) -> str:
        self._announcer.say_if_due(self.claim.held)
        return ""

    def _tend(self) -> str:
        """Look after this machine; answers why our lease is lost, if it is meanwhile."""
        for _ in self._reconciler.tend(self.claim, self._view.peers):
            if lost := self._lost():
                return lost
        return ""

    # What the registry tells

    def _list_and_watch(self) -> str:
        """Take over all leases as they are, and have messages in the inbox from there on."""
        listed, self._listed = self._listed, None
        snapshot = listed or self._registry.snapshot()
        self._heard()
        self._status.watches += 1
        self._registry.watch(snapshot.revision, self._event_queue.begin(self.claim.concerns))
        if listed:  # from before our own lease was written
            return ""
        if lost := self._follow(self.claim.after_list(snapshot)):
            return lost
        self._announcer.listed(self.claim.subnet, snapshot.said)
        return self._pass_on(self._view.reset(snapshot))

    def _hear(self) -> str:
        """Take over what the watch says next. Raises `_WatchEnded`, or `RegistryUnavailable`."""
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
        """Take over what happened to the others; answers why our lease is lost, if it is meanwhile."""
        if isinstance(message, Announcement):
            self._announcer.told(self.claim.subnet, message)
            lost = self._pass_on(self._view.hear(message))
        else:
            lost = self._pass_on(self._view.apply(message.events))
        self._status.last_lag = lag = self._event_queue.done()
        if lag > BEHIND and self._late.worth_saying("", self._time.now()):
            text = "A lease change has waited %.1f s to be applied: this machine is too slow for them"
            logger.warning(text, lag)
        return lost

    def _follow(self, claim: Claim | Lost) -> str:
        """Go by what is left of our lease; answers why it is lost, if it is."""
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
        """Put into force what happened to the others; answers why our lease is lost, if it is meanwhile."""
        for first in range(0, len(events), AT_ONCE):
            if lost := self._lost():
                return lost
            self._backend.change(events[first : first + AT_ONCE])
        self._told(events)
        self._tell_refused()
        return ""

    def _look_around(self) -> str:
        """Judge the leases anew where this machine has other addresses or gateways than it had."""
        if self._time.now() < self._look_at:
            return ""
        self._look_at = self._time.now() + LOOK
        return self._pass_on(self._view.judge_by(replace(self._view.rules, needs=self._needs())))

    def _tell_refused(self) -> None:
        """Say, sparingly, which leases are none of a peer, and count them all on the board."""
        for refused in self._view.newly_refused():
            lease = refused.held.lease
            text = f"Refusing the lease of {lease.subnet} by {lease.attrs.public}: {refused.refusal.reason}"
            if told := self._sparing.tell(text, self._time.now()):
                logger.warning("%s", told)
        admission = self._view.admission
        if self._counted != (id(admission), admission.changes):
            self._counted = id(admission), admission.changes
            self._status.refusals = admission.refusals(EXAMPLES)

    def _told(self, events: Sequence[PeerEvent]) -> None:
        """Say in the log what is in force by now."""
        told = [event for event in events if not (isinstance(event, PeerAdded) and event.again)]
        if len(told) > MANY:
            added = sum(isinstance(event, PeerAdded) for event in told)
            logger.info("Subnets added: %d, removed: %d", added, len(told) - added)
        else:
            for event in told:
                logger.info("%s", words(event))

    def _compare(self, text: bytes | None) -> None:
        """Warn, once, when the configuration is not any more the one that we run with."""
        if text is None or text == self._config_text:
            return
        self._config_text = text
        try:
            changed = changes(self._network, parse_config(text), self.claim.subnet)
        except ConfigError as error:
            text_now = "The network configuration was changed and cannot be used any more: %s"
            logger.warning(f"{text_now}. This flanneld goes on as it is, and would not start again", error)
            return
        for change in changed:
            logger.warning("The network configuration was changed: %s", change)

    # What is due

    def _renew_if_due(self) -> str:
        """Renew our lease when it is time; answers why it is lost, if it is."""
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
            # Perhaps by our own hand: an attempt whose answer never came.
            return self._follow(self.claim.after_list(self._registry.snapshot()))
        renewed = StoredLease(Lease(held.lease.subnet, attrs), revision, permanent=held.permanent)
        if not self.claim.spoiled:
            self._retry_renewal_at = float("-inf")
        self.claim = Claim(renewed, now)
        self._pass_on(self._view.judge_by(replace(self._view.rules, public=attrs.public)))
        self._extend()
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
        """Say a failure if it is worth saying; `why` may differ each time."""
        self._status.trouble = f"{what}: {why}"
        if backoff.worth_saying(what, self._time.now()):
            logger.error("%s: %s", what, why)
