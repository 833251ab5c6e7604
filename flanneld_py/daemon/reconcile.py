"""Keeps this machine in the state that the lease requires, whatever other programs change."""

import errno
import logging
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Final, Protocol

from flanneld_py.backend import Backend
from flanneld_py.config.model import NetworkConfig
from flanneld_py.daemon.claim import Claim
from flanneld_py.errors import Fatal, Stopped
from flanneld_py.kernel import own_devices
from flanneld_py.kernel.desired import DesiredDevice, KernelNotice, concerns
from flanneld_py.kernel.entries import Slot
from flanneld_py.lease.model import Lease
from flanneld_py.lease.subnet_file import SubnetFile
from flanneld_py.monitor.status import NetworkStatus
from flanneld_py.runtime.backoff import Backoff
from flanneld_py.runtime.clock import Time
from flanneld_py.subnet import Subnet
from flanneld_py.underlay.follower import UnderlayChange
from flanneld_py.underlay.protocol import FixedUnderlay, Underlay

__all__ = ["HostRules", "NoHostRules", "Reconciler"]

logger = logging.getLogger(__name__)

DEVICE_INTERVAL: Final = 2.0
"""Seconds between periodic checks of our devices; kernel events trigger additional ones."""

FULL_INTERVAL: Final = 10.0
"""Seconds between full checks; flannel checks its routes at the same interval."""

MIN_PAUSE: Final = 0.25
"""Seconds after a check during which kernel events are only collected; also the poll interval of
`await_interface`.

Doubled after each check that repaired something, up to FULL_INTERVAL, so that two programs that disagree do
not undo each other's changes in a tight loop.
"""

PAUSE_FACTOR: Final = 20
"""After a check, events are held back for this many times its duration, to leave time for renewals."""

TRANSIENT: Final = frozenset(
    {errno.ENODEV, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
)
"""Errors that may not recur if the device is created again.

ENODEV, EADDRNOTAVAIL: the device, or the interface's address, was removed in the meantime.
"""


class HostRules(Protocol):
    """What a lease needs on this machine besides its backend: packet filter rules, blackhole routes."""

    def set(
        self, network: NetworkConfig, subnet: Subnet, wanted: Callable[[], Container[Slot]] = tuple
    ) -> None:
        """Install them for our subnet `subnet`, replacing those of any earlier one. Raises `Fatal`.

        `wanted` returns the kernel entries that the backend wants at the time of the call.
        """

    def sync(self) -> int:
        """Repair what other programs changed; returns the number of repairs."""

    def follow_pods(self) -> int:
        """Follow the pods' bridge, which has come or gone, without a look at other rules; returns repairs."""

    def dropped(self) -> Mapping[str, int]:
        """Packets that the rules drop, by reason. For any thread."""


class NoHostRules:
    """A `HostRules` that does nothing."""

    def set(
        self, network: NetworkConfig, subnet: Subnet, wanted: Callable[[], Container[Slot]] = tuple
    ) -> None:
        """See `HostRules`."""

    def sync(self) -> int:
        """See `HostRules`."""
        return 0

    def follow_pods(self) -> int:
        """See `HostRules`."""
        return 0

    def dropped(self) -> Mapping[str, int]:
        """See `HostRules`."""
        return {}


class Reconciler:
    """Compares the desired and the actual state, and repairs: devices, entries, subnet file, filter rules.

    Changes of the external interface, on which all else depends, come first. `resync`: seconds between checks
    of the rules. `wake` makes the lease loop call `tend` soon, in the loop's own thread.
    """

    def __init__(
        self,
        backend: Backend,
        rules: HostRules,
        file: SubnetFile,
        time: Time,
        status: NetworkStatus,
        *,
        resync: int,
        underlay: Underlay | None = None,
        wake: Callable[[], None] = lambda: None,
        keep: Callable[[Sequence[DesiredDevice]], own_devices.Reconciled] = own_devices.reconcile,
    ) -> None:
        self._backend = backend
        self._rules = rules
        self._file = file
        self._time = time
        self._status = status
        self._resync = resync
        self._underlay = underlay or FixedUnderlay()
        self._wake = wake
        self._keep = keep
        self._look_at = self._repair_at = self._sync_at = float("-inf")
        self._pending_move: UnderlayChange | None = None
        self._entries_missing = False  # a recreated device has no entries yet
        self._check_entries = self._check_file = self._pods_moved = False
        self._repair_count, self._devices_checked = 0, False
        self._log_backoff = Backoff()
        self._recreate_log = Backoff()
        self._lock = threading.Lock()
        self._heard, self._pause, self._wake_pending = KernelNotice(), MIN_PAUSE, False

    def begin(self) -> None:
        """Restart all intervals and discard pending events: everything was just created."""
        now = self._time.now()
        self._look_at, self._repair_at = now + DEVICE_INTERVAL, now + FULL_INTERVAL
        self._sync_at = now + self._resync
        self._entries_missing = self._check_entries = self._check_file = self._pods_moved = False
        self._pending_move = None
        self._status.lacking = ""
        self._take()

    # Kernel events

    def hear(self, heard: KernelNotice) -> float:
        """Record a kernel event; returns how many seconds to hold back further ones. For any thread."""
        with self._lock:
            self._heard = self._heard.joined(heard)
            must_wake, self._wake_pending = not self._wake_pending, True
        if must_wake:
            self._wake()
        return self._pause

    def _take(self) -> KernelNotice:
        with self._lock:
            heard, self._heard, self._wake_pending = self._heard, KernelNotice(), False
        return heard

    # The interface

    def await_interface(self) -> None:
        """Follow or wait for the interface before a lease takes effect. Raises `Fatal` and `Stopped`."""
        while not self._has_interface():
            self._time.rest(MIN_PAUSE)
            if self._time.stopping.is_set():
                raise Stopped

    def _has_interface(self) -> bool:
        try:
            move = self._underlay.seen()
        except OSError as error:
            text = f"Cannot read the state of the interface: {error.strerror or error}. Retrying"
            self._say(logging.ERROR, text)
            return False
        if self._underlay.trouble:
            self._report_no_interface()
            return False
        if move is not None:
            logger.warning("%s: following", move.words)
            self._backend.follow(move.to.interface, move.to.public)
            self._underlay.take(move)
            self._status.mtu = self._backend.mtu
        return True

    def _report_no_interface(self) -> None:
        self._status.lacking = f"waiting for an interface: {self._underlay.trouble}"
        self._say(logging.ERROR, f"Peers cannot reach us: {self._underlay.trouble}. Waiting for an interface")

    # Periodic checks

    def tend(self, claim: Claim, peers: Mapping[Subnet, Lease]) -> Iterator[None]:
        """Run the checks that are due, and repair. Works without the registry. Raises `Fatal`.

        A generator, because each step may take long: between steps the caller checks the lease, and stops
        iterating once it is lost.
        """
        steps: tuple[Callable[[Claim, Mapping[Subnet, Lease]], None], ...]
        steps = (self._look, self._carry_again, self._repair, self._repair_file, self._sync)
        busy, self._repair_count, self._devices_checked = 0.0, 0, False
        for step in steps:
            begun = self._time.now()
            try:
                step(claim, peers)
            except OSError as error:  # no file descriptor is free, for instance
                reason = error.strerror or error
                text = f"Cannot check this machine's devices and routes: {reason}. Retrying"
                self._say(logging.ERROR, text)
                return
            busy += self._time.now() - begun
            yield
        if self._devices_checked:
            quiet_pause = min(2 * self._pause, FULL_INTERVAL) if self._repair_count else MIN_PAUSE
            self._pause = max(quiet_pause, PAUSE_FACTOR * busy)

    def _look(self, claim: Claim, _: Mapping[Subnet, Lease]) -> None:
        """Check the devices if that is due, and decide which other checks are due."""
        now, heard = self._time.now(), self._take()
        if heard.many or any(notice.route.destination in claim.subnet.networks for notice in heard.routes):
            self._pods_moved = True
        if now >= self._repair_at:
            self._repair_at = now + FULL_INTERVAL
            self._check_entries = self._check_file = True
        elif concerns(heard, self._backend.wanted()):
            self._check_entries = True
        if not (self._check_entries or heard.links or now >= self._look_at):
            return
        self._look_at, self._devices_checked = now + DEVICE_INTERVAL, True
        move = self._underlay.seen()
        if self._underlay.trouble:
            self._report_no_interface()
            self._check_entries = False  # without an interface there is nothing to compare with
        elif move is not None:
            self._recreate(f"{move.words}: following", claim, move)
        elif reason := self._backend.broken():
            self._recreate(f"{reason}: recreating it", claim)
        else:
            self._compare(claim)

    def _compare(self, claim: Claim) -> None:
        kept = self._keep(self._backend.owned())
        if kept.done:
            self._check_entries = True  # they may be missing as well
            self._repair_count += len(kept.done)
            self._status.repairs += len(kept.done)
            self._say(logging.WARNING, f"Repaired: {', '.join(map(str, kept.done))}")
        if kept.anew:
            self._recreate(kept.anew, claim)
        elif kept.refused:
            action, error = kept.refused[0]
            self._status.lacking = f"{action}, and that cannot be repaired: {error.strerror or error}"
            self._say(logging.ERROR, f"{self._status.lacking}. Retrying")
        else:
            self._clear_lacking()

    def _recreate(self, reason: str, claim: Claim, move: UnderlayChange | None = None) -> None:
        self._repair_count += 1
        self._status.lacking = reason
        if self._recreate_log.worth_saying(reason, self._time.now()):
            logger.error("%s", reason)
        try:
            if move is not None:
                self._backend.follow(move.to.interface, move.to.public)
            self._backend.claim(claim.subnet)
        except Fatal as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in TRANSIENT:
                raise error.__cause__ from error
            raise
        self._entries_missing, self._pending_move = True, move

    def _carry_again(self, claim: Claim, peers: Mapping[Subnet, Lease]) -> None:
        if not self._entries_missing:
            return
        self._backend.carry(peers, claim.expires_at)
        self._entries_missing = self._check_entries = False
        if self._pending_move is not None:
            self._underlay.take(self._pending_move)
            self._pending_move = None
            self._publish_mtu(claim.subnet)
        self._clear_lacking()

    def _publish_mtu(self, subnet: Subnet) -> None:
        """Update status and subnet file if the MTU changed; programs that use it must be restarted."""
        mtu = self._backend.mtu
        if mtu != self._status.mtu:
            text = "FLANNEL_MTU changed from %d to %d: restart what uses it, such as docker"
            logger.warning(text, self._status.mtu, mtu)
            self._status.mtu = mtu
            try:
                self._file.write(subnet, mtu)
            except Fatal as error:
                self._say(logging.ERROR, f"{error}. Retrying")

    def _repair(self, _: Claim, __: Mapping[Subnet, Lease]) -> None:
        if not self._check_entries:
            return
        self._check_entries = False
        if found := self._backend.repair():
            self._repair_count += found
            logger.warning("Repaired %d kernel entries that others had changed", found)

    def _repair_file(self, _: Claim, __: Mapping[Subnet, Lease]) -> None:
        if not self._check_file:
            return
        self._check_file = False
        try:
            if wrong := self._file.keep():
                self._status.repairs += 1
                self._say(logging.WARNING, f"{wrong}: written again")
        except Fatal as error:  # a file system that is full for a while, for instance
            self._say(logging.ERROR, f"{error}. Retrying")

    def _sync(self, _: Claim, __: Mapping[Subnet, Lease]) -> None:
        now, moved = self._time.now(), self._pods_moved
        self._pods_moved = False
        if now >= self._sync_at:
            self._sync_at = now + self._resync
            self._status.filter_repairs += self._rules.sync()
        elif moved:
            self._status.filter_repairs += self._rules.follow_pods()

    def _clear_lacking(self) -> None:
        self._recreate_log = Backoff()
        self._status.lacking = ""

    def _say(self, level: int, text: str) -> None:
        """Log the text unless it was logged recently."""
        if self._log_backoff.worth_saying(text, self._time.now()):
            logger.log(level, "%s", text)
