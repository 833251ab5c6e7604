"""While a lease is held: keep this machine as it should be, whatever others do to it."""

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

LOOK: Final = 2.0
"""Seconds between two checks of our devices, besides those that events of the kernel cause."""

REPAIR: Final = 10.0
"""Seconds between two checks of everything, as between flannel's own checks of routes."""

SETTLE: Final = 0.25
"""Seconds after a check for which events of the kernel are collected.

Doubled after each check that had to repair something, up to `REPAIR`, so that two programs that disagree do
not fight at full speed.
"""

SHARE: Final = 20
"""After a check, events are ignored for this many times its duration: the lease must be renewed, too."""

PASSING: Final = frozenset(
    {errno.ENODEV, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
)
"""Errors that may go away when the device is made once more; ENODEV and EADDRNOTAVAIL: the device, or the
interface's address, was removed again meanwhile."""


class HostRules(Protocol):
    """What goes with a lease on this machine besides the backend: packet filter rules, blackhole routes."""

    def set(
        self, network: NetworkConfig, subnet: Subnet, wanted: Callable[[], Container[Slot]] = tuple
    ) -> None:
        """Install them for this subnet of ours, and for no other. Raises `Fatal`.

        `wanted` returns the kernel entries that the backend wants by now.
        """

    def sync(self) -> int:
        """Repair what others changed; returns how many things."""


class NoHostRules:
    """See `HostRules`: rules are left to others."""

    def set(
        self, network: NetworkConfig, subnet: Subnet, wanted: Callable[[], Container[Slot]] = tuple
    ) -> None:
        """See `HostRules`."""

    def sync(self) -> int:
        """See `HostRules`."""
        return 0


class Reconciler:
    """Compares what should be with what is: devices, entries, the subnet file, the filter's rules.

    The external interface, which all of it depends on, is followed first. `resync` is in seconds; `wake`
    makes the lease loop, in its own thread, call `tend` soon.
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
        self._moving: UnderlayChange | None = None
        self._bare = False  # a recreated device has no entries yet
        self._entries = self._written = False  # these must be checked
        self._repaired, self._looked = 0, False
        self._backoff = Backoff()
        self._making = Backoff()
        self._lock = threading.Lock()
        self._heard, self._pause, self._woken = KernelNotice(), SETTLE, False

    def begin(self) -> None:
        """Everything was just made and is as it should be."""
        now = self._time.now()
        self._look_at, self._repair_at, self._sync_at = now + LOOK, now + REPAIR, now + self._resync
        self._bare = self._entries = self._written = False
        self._moving = None
        self._status.lacking = ""
        self._take()

    # Events of the kernel

    def hear(self, heard: KernelNotice) -> float:
        """Take an event of the kernel; returns for how many seconds to hold back others. For any thread."""
        with self._lock:
            self._heard = self._heard.joined(heard)
            asleep, self._woken = not self._woken, True
        if asleep:
            self._wake()
        return self._pause

    def _take(self) -> KernelNotice:
        with self._lock:
            heard, self._heard, self._woken = self._heard, KernelNotice(), False
        return heard

    # The interface

    def stand(self) -> None:
        """Before a lease takes effect: follow the interface, or wait for it. Raises `Fatal` and `Stopped`."""
        while not self._stands():
            self._time.rest(SETTLE)
            if self._time.stopping.is_set():
                raise Stopped

    def _stands(self) -> bool:
        try:
            move = self._underlay.seen()
        except OSError as error:
            self._say(logging.ERROR, f"Looking for the interface: {error.strerror or error}. Retrying")
            return False
        if self._underlay.trouble:
            self._miss()
            return False
        if move is not None:
            logger.warning("%s: following", move.words)
            self._backend.follow(move.to.interface, move.to.public)
            self._underlay.take(move)
            self._status.mtu = self._backend.mtu
        return True

    def _miss(self) -> None:
        self._status.lacking = f"waiting for an interface: {self._underlay.trouble}"
        self._say(logging.ERROR, f"Peers cannot reach us: {self._underlay.trouble}. Waiting for an interface")

    # In turn

    def tend(self, claim: Claim, peers: Mapping[Subnet, Lease]) -> Iterator[None]:
        """Repair whatever needs it, if it is time for a check; needs no registry. Raises `Fatal`.

        In steps, as each may take long: the caller checks the lease before the first and after each, and
        stops once it is lost.
        """
        steps: tuple[Callable[[Claim, Mapping[Subnet, Lease]], None], ...]
        steps = (self._look, self._carry_again, self._repair, self._see_to_file, self._sync)
        taken, self._repaired, self._looked = 0.0, 0, False
        for step in steps:
            begun = self._time.now()
            try:
                step(claim, peers)
            except OSError as error:  # no file descriptor is free, for instance
                text = f"Checking this machine: {error.strerror or error}. Retrying"
                self._say(logging.ERROR, text)
                return
            taken += self._time.now() - begun
            yield
        if self._looked:
            calm = min(2 * self._pause, REPAIR) if self._repaired else SETTLE
            self._pause = max(calm, SHARE * taken)

    def _look(self, claim: Claim, _: Mapping[Subnet, Lease]) -> None:
        """Compare devices, if it is time, and find out what else to check."""
        now, heard = self._time.now(), self._take()
        if now >= self._repair_at:
            self._repair_at = now + REPAIR
            self._entries = self._written = True
        elif concerns(heard, self._backend.wanted()):
            self._entries = True
        if not (self._entries or heard.links or now >= self._look_at):
            return
        self._look_at, self._looked = now + LOOK, True
        move = self._underlay.seen()
        if self._underlay.trouble:
            self._miss()
            self._entries = False  # without a footing there is nothing to check against
        elif move is not None:
            self._recreate(f"{move.words}: following", claim, move)
        elif reason := self._backend.broken():
            self._recreate(f"{reason}: recreating it", claim)
        else:
            self._compare(claim)

    def _compare(self, claim: Claim) -> None:
        kept = self._keep(self._backend.owned())
        if kept.done:
            self._entries = True  # which may be gone, too
            self._repaired += len(kept.done)
            self._status.repairs += len(kept.done)
            self._say(logging.WARNING, f"Repaired: {', '.join(map(str, kept.done))}")
        if kept.anew:
            self._recreate(kept.anew, claim)
        elif kept.refused:
            action, error = kept.refused[0]
            self._status.lacking = f"{action}, and it cannot be repaired: {error.strerror or error}"
            self._say(logging.ERROR, f"{self._status.lacking}. Retrying")
        else:
            self._well()

    def _recreate(self, reason: str, claim: Claim, move: UnderlayChange | None = None) -> None:
        self._repaired += 1
        self._status.lacking = reason
        if self._making.worth_saying(reason, self._time.now()):
            logger.error("%s", reason)
        try:
            if move is not None:
                self._backend.follow(move.to.interface, move.to.public)
            self._backend.claim(claim.subnet)
        except Fatal as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in PASSING:
                raise error.__cause__ from error
            raise
        self._bare, self._moving = True, move

    def _carry_again(self, claim: Claim, peers: Mapping[Subnet, Lease]) -> None:
        if not self._bare:
            return
        self._backend.carry(peers, claim.expires_at)
        self._bare = self._entries = False
        if self._moving is not None:
            self._underlay.take(self._moving)
            self._moving = None
            self._tell_of_mtu(claim.subnet)
        self._well()

    def _tell_of_mtu(self, subnet: Subnet) -> None:
        """Tell everything that depends on it."""
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
        if not self._entries:
            return
        self._entries = False
        if found := self._backend.repair():
            self._repaired += found
            logger.warning("Repaired %d kernel entries that others had changed", found)

    def _see_to_file(self, _: Claim, __: Mapping[Subnet, Lease]) -> None:
        if not self._written:
            return
        self._written = False
        try:
            if wrong := self._file.keep():
                self._status.repairs += 1
                self._say(logging.WARNING, f"{wrong}: written again")
        except Fatal as error:  # a file system that is full for a while, for instance
            self._say(logging.ERROR, f"{error}. Retrying")

    def _sync(self, _: Claim, __: Mapping[Subnet, Lease]) -> None:
        now = self._time.now()
        if now >= self._sync_at:
            self._sync_at = now + self._resync
            self._status.filter_repairs += self._rules.sync()

    def _well(self) -> None:
        self._making = Backoff()
        self._status.lacking = ""

    def _say(self, level: int, text: str) -> None:
        """Log it, unless it was logged recently."""
        if self._backoff.worth_saying(text, self._time.now()):
            logger.log(level, "%s", text)
