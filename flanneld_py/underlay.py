"""The external interface while the daemon runs: looked at again and again, followed, and waited for."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flanneld_py.clock import Time
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.external import Look, wishes
from flanneld_py.follow import changes, follow
from flanneld_py.interface import Candidate, Families, Interface, NoInterface, choose, public_addresses
from flanneld_py.options import Options
from flanneld_py.subnet import Addresses

__all__ = ["Footing", "Move", "Underlay", "families"]

logger = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds that an address may be gone; a DHCP client takes it away for a moment at times."""


@dataclass(frozen=True, slots=True)
class Footing:
    """What an overlay stands on: an interface, and the addresses that peers are told to reach us by."""

    interface: Interface
    public: Addresses


@dataclass(frozen=True, slots=True)
class Move:
    """The footing is another one than it was; `words` say what has changed."""

    to: Footing
    words: str


class Underlay:
    """One network's footing. `glance` gives the interface of an index, or None; `look` everything."""

    def __init__(
        self, options: Options, time: Time, look: Look, glance: Callable[[int], Candidate | None]
    ) -> None:
        self._options = options
        self._wishes = wishes(options)
        public = (self._wishes.public.ipv4, self._wishes.public.ipv6)
        self._named = (*self._wishes.names, *(str(address) for address in public if address is not None))
        self._time = time
        self._look = look
        self._glance = glance
        self._needs = Families()
        self._footing: Footing | None = None
        self._missed_at: float | None = None
        self.trouble = ""

    def begin(self, interface: Interface, network: NetworkConfig) -> Footing:
        """Stand on this interface, for this network."""
        self._needs = families(network)
        self._footing = self._on(interface)
        return self._footing

    @property
    def index(self) -> int:
        """The interface's; 0 before `begin`."""
        return 0 if self._footing is None else self._footing.interface.index

    def seen(self) -> Move | None:
        """Look: how the footing has changed, again and again until `take` is told so; None if it has not.

        As long as `trouble` says what is missing there is nothing to stand on. Raises `Fatal` when that has
        lasted for -iface-wait seconds, and `OSError` where it cannot look.
        """
        if self._footing is None:
            return None
        before = self._footing.interface
        patient = self._missed_at is None or self._time.now() - self._missed_at < PATIENCE
        seen = self._glance(before.index)
        found = follow(before, seen, self._needs, names=self._named, patient=patient)
        if seen is None:
            found = self._another(str(found))
        if isinstance(found, str):
            self._miss(found, at_once=seen is None)
            return None
        self._missed_at, self.trouble = None, ""
        words = changes(before, found)
        return Move(self._on(found), words) if words else None

    def take(self, move: Move) -> None:
        """The move was made."""
        before, self._footing = self._footing, move.to
        old, new = "" if before is None else before.interface.name, move.to.interface.name
        if old in self._wishes.names and new not in self._wishes.names:
            text = "-iface=%s will find no interface when flanneld is started again: it is called %s now"
            logger.warning(text, old, new)

    def _another(self, gone: str) -> Interface | str:
        """What a search as at the start finds."""
        try:
            candidates, routes = self._look(self._wishes.can_reach)
            return choose(candidates, self._wishes, routes, self._needs)
        except NoInterface as error:
            return f"{gone}. {error}"
        except Fatal as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from error
            raise

    def _miss(self, what: str, *, at_once: bool) -> None:
        now, wait = self._time.now(), self._options.iface_wait
        if self._missed_at is None:
            self._missed_at = now
        missed = now - self._missed_at
        if missed < PATIENCE and not at_once:
            return
        self.trouble = what
        if missed >= wait:
            raise Fatal(
                f"Peers are told to reach us by {self._told()}, and {what} (waited {wait} s, -iface-wait). "
                "Started again, flanneld waits for an interface and announces its address",
                code=Exit.INTERFACE,
            )

    def _told(self) -> str:
        return "" if self._footing is None else str(self._footing.public)

    def _on(self, interface: Interface) -> Footing:
        public = public_addresses(interface, self._wishes)
        needs = self._needs
        return Footing(
            interface,
            Addresses(public.ipv4 if needs.ipv4 else None, public.ipv6 if needs.ipv6 else None),
        )


def families(network: NetworkConfig) -> Families:
    """Those that an interface must have an address of."""
    return Families(network.ipv4 is not None, network.ipv6 is not None)
