"""The external interface while the daemon runs: checked repeatedly, followed, and waited for."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.options import Options
from flanneld_py.runtime.clock import Time
from flanneld_py.subnet import Addresses
from flanneld_py.underlay.changes import InterfaceState, changes, follow
from flanneld_py.underlay.interface import (
    Candidate,
    Families,
    Interface,
    NoInterface,
    Routes,
    choose,
    public_addresses,
)
from flanneld_py.underlay.waiting import Look, selection_of

__all__ = ["Attachment", "UnderlayChange", "UnderlayFollower", "families"]

logger = logging.getLogger(__name__)

GRACE: Final = 5.0
"""Seconds that an address may be gone; DHCP clients sometimes remove it for a moment."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What an overlay stands on: an interface, and the addresses that we announce to peers."""

    interface: Interface
    public: Addresses


@dataclass(frozen=True, slots=True)
class UnderlayChange:
    """The footing has changed; `words` say how."""

    to: Attachment
    words: str


class UnderlayFollower:
    """One network's footing. `glance` looks at the interface of an index, `look` at everything."""

    def __init__(
        self, options: Options, time: Time, look: Look, glance: Callable[[int], InterfaceState]
    ) -> None:
        self._options = options
        self._selection = selection_of(options)
        self._time = time
        self._look = look
        self._glance = glance
        self._needs = Families()
        self._attachment: Attachment | None = None
        self._missed_at: float | None = None
        self.trouble = ""

    @property
    def index(self) -> int:
        """The interface's index; 0 before there is one."""
        return 0 if self._attachment is None else self._attachment.interface.index

    def begin(self, interface: Interface, network: NetworkConfig) -> Attachment:
        """Stand on this interface, for this network."""
        self._needs = families(network)
        self._attachment = self._on(interface)
        return self._attachment

    def seen(self) -> UnderlayChange | None:
        """Look whether the footing has changed, and report it until `take` is called; None if it has not.

        While `trouble` says what is missing, there is nothing to stand on. Raises `Fatal` when that has
        lasted for -iface-wait seconds, and `OSError` if it cannot look.
        """
        if self._attachment is None:
            return None
        before = self._attachment.interface
        patient = self._missed_at is None or self._time.now() - self._missed_at < GRACE
        seen = self._glance(before.index)
        found = self._followed(before, seen, patient)
        if seen.device is None:
            found = self._another(str(found))
        if isinstance(found, str):
            self._miss(found, at_once=seen.device is None)
            return None
        self._missed_at, self.trouble = None, ""
        words = changes(before, found)
        return UnderlayChange(self._on(found), words) if words else None

    def take(self, move: UnderlayChange) -> None:
        """The move was made."""
        before, self._attachment = self._attachment, move.to
        old, new = "" if before is None else before.interface.name, move.to.interface.name
        if old in self._selection.names and new not in self._selection.names:
            text = "-iface=%s will match no interface at the next start: it is called %s now"
            logger.warning(text, old, new)

    def _followed(self, before: Interface, seen: InterfaceState, patient: bool) -> Interface | str:
        found = follow(before, seen, self._needs, self._selection, patient=patient)
        if isinstance(found, str) or (found.ipv4, found.ipv6) == (before.ipv4, before.ipv6):
            return found
        # Its routes, too, say which of several addresses is the best.
        candidates, _ = self._everything()
        device = next((each for each in candidates if each.index == before.index), None)
        return follow(before, replace(seen, device=device), self._needs, self._selection, patient=patient)

    def _another(self, gone: str) -> Interface | str:
        """What the same search as at the start finds."""
        candidates, routes = self._everything()
        try:
            return choose(candidates, self._selection, routes, self._needs)
        except NoInterface as error:
            return f"{gone}. {error}"

    def _everything(self) -> tuple[Sequence[Candidate], Routes]:
        try:
            return self._look(self._selection.can_reach)
        except Fatal as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from error
            raise

    def _miss(self, what: str, *, at_once: bool) -> None:
        now, wait = self._time.now(), self._options.iface_wait
        if self._missed_at is None:
            self._missed_at = now
        missed = now - self._missed_at
        if missed < GRACE and not at_once:
            return
        self.trouble = what
        if missed >= wait:
            raise Fatal(
                f"Peers are to reach us at {self._told()}, and {what} (waited {wait} s, -iface-wait). "
                "After a restart flanneld waits for an interface and announces its address",
                code=Exit.INTERFACE,
            )

    def _told(self) -> str:
        return "" if self._attachment is None else str(self._attachment.public)

    def _on(self, interface: Interface) -> Attachment:
        public = public_addresses(interface, self._selection)
        needs = self._needs
        return Attachment(
            interface,
            Addresses(public.ipv4 if needs.ipv4 else None, public.ipv6 if needs.ipv6 else None),
        )


def families(network: NetworkConfig) -> Families:
    """The families that an interface must have an address of."""
    return Families(network.ipv4 is not None, network.ipv6 is not None)
