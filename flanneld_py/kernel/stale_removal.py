"""Removes stale entries of one network's flanneld. The decisions are in `stale`."""

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
"""Number of entries named in a message; the rest are counted."""

OWNER: Final = 0x80000000
"""Bit set in every owner's number, which becomes a route's metric: IPv6 has no metric 0."""


class StaleRemoval:
    """Removes what earlier runs left. A flanneld is identified across restarts by its subnet file."""

    def __init__(self, subnet_file: Path) -> None:
        self._name = str(subnet_file.absolute())
        self._owner = 0
        self._lock: DeviceLock | None = None
        self._unfinished: tuple[Subnet, Subnet | None, Callable[[], Container[Slot]]] | None = None

    def leave(self, overlay: Subnet, carried: Subnet | None, wanted: Callable[[], Container[Slot]]) -> None:
        """Note the overlay that we carry, and remove marked entries that belong to nobody.

        `carried`, and the result of `wanted`, are as for `stale_entries`. Failures are retried by `look`.
        """
        self._unfinished = overlay, carried, wanted
        try:
            self._owner = self._owner or self._identify(overlay)
            notes.note(self._owner, overlay.networks)
            found = stale_entries(table.marked(), notes.noted(), self._owner, carried, wanted())
            failed = dict(table.perform([Remove(entry) for entry in found])) if found else {}
        except OSError as error:
            logger.error("Looking for stale entries of earlier networks: %s. Retrying", error)  # noqa: TRY400
            return
        gone = [entry for entry in found if Remove(entry) not in failed]
        if gone:
            logger.info("Removed stale entries of another network or backend: %s", _names(gone))
        for refusal in failed.values():
            logger.error("%s. Retrying", refusal.strerror)
        if not failed:
            self._unfinished = None

    def look(self) -> None:
        """Retry what failed; to be called now and then."""
        if self._lock is not None:
            self._lock.look()
        if self._unfinished is not None:
            self.leave(*self._unfinished)

    def spares(self, network: Network) -> bool:
        """Whether the network belongs to another flanneld of this machine. Raises `OSError`."""
        return is_anothers(network, notes.noted(), self._owner)

    def _identify(self, overlay: Subnet) -> int:
        """Return a number that identifies us across restarts.

        Containers may have subnet files of the same name and share the host's network. The second to start
        gets a number that includes its network; what it left with an earlier network is then not recognised.
        Raises `OSError`.
        """
        number = OWNER | zlib.crc32(self._name.encode(errors="surrogateescape"))
        try:
            self._lock = DeviceLock(f"networks/{number}")
        except LockedByAnother:
            return OWNER | zlib.crc32(f"{self._name} {overlay}".encode(errors="surrogateescape"))
        return number


def _names(entries: Iterable[Entry]) -> str:
    texts = [str(entry) for entry in entries]
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more
