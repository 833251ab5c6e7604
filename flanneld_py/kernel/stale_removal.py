"""What one network's flanneld does about its own past on this machine. Decisions: `former`."""

import logging
import zlib
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Final

from flanneld_py.kernel import notes, table
from flanneld_py.kernel.device_lock import DeviceLock, LockedByAnother
from flanneld_py.kernel.entries import Entry, Remove, Slot
from flanneld_py.kernel.stale import is_anothers, stale_entries
from flanneld_py.subnet import Network, Subnet

__all__ = ["StaleRemoval"]

logger = logging.getLogger(__name__)

NAMED: Final = 3
"""Entries that a message names; the rest it counts."""

OWNER: Final = 0x80000000
"""Set in every owner's number, which is the metric of a route, of which IPv6 has none that is 0."""


class StaleRemoval:
    """The past of the flanneld that has this subnet file, by which it is known over restarts."""

    def __init__(self, subnet_file: Path) -> None:
        self._name = str(subnet_file.absolute())
        self._owner = 0
        self._hold: DeviceLock | None = None
        self._unfinished: tuple[Subnet, Subnet | None, Callable[[], Container[Slot]]] | None = None

    def leave(self, overlay: Subnet, carried: Subnet | None, wanted: Callable[[], Container[Slot]]) -> None:
        """Have a note of the overlay that we carry, and take away what else is marked and nobody's.

        `carried`, and what `wanted` answers, are as of `stale_entries`. What fails is tried again by `look`.
        """
        self._unfinished = overlay, carried, wanted
        try:
            self._owner = self._owner or self._identify(overlay)
            notes.note(self._owner, overlay.networks)
            found = stale_entries(table.marked(), notes.noted(), self._owner, carried, wanted())
            failed = dict(table.perform([Remove(entry) for entry in found])) if found else {}
        except OSError as error:
            logger.error("Looking for what earlier networks left: %s. Retrying", error)  # noqa: TRY400
            return
        gone = [entry for entry in found if Remove(entry) not in failed]
        if gone:
            logger.info("Removed stale entries of another network or backend: %s", _names(gone))
        for refusal in failed.values():
            logger.error("%s. Retrying", refusal.strerror)
        if not failed:
            self._unfinished = None

    def look(self) -> None:
        """From time to time: finish what failed."""
        if self._hold is not None:
            self._hold.look()
        if self._unfinished is not None:
            self.leave(*self._unfinished)

    def spares(self, network: Network) -> bool:
        """Whether it is of another flanneld of this machine. Raises `OSError`."""
        return is_anothers(network, notes.noted(), self._owner)

    def _identify(self, overlay: Subnet) -> int:
        """A number for us, the same after a restart.

        Containers may have files of the same name, and share the machine's network. Whoever comes second is
        told apart by its network, and its past with another one is not known. Raises `OSError`.
        """
        number = OWNER | zlib.crc32(self._name.encode(errors="surrogateescape"))
        try:
            self._hold = DeviceLock(f"networks/{number}")
        except LockedByAnother:
            return OWNER | zlib.crc32(f"{self._name} {overlay}".encode(errors="surrogateescape"))
        return number


def _names(entries: Iterable[Entry]) -> str:
    texts = [str(entry) for entry in entries]
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more
