"""What a key below `{prefix}/subnets/` and its value mean; the same for every registry."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from flanneld_py.lease.model import Lease, StoredLease, decode
from flanneld_py.registry import LeaseAdded, LeaseRemoved, LeaseUnreadable, Snapshot
from flanneld_py.runtime import clock
from flanneld_py.runtime.log_sampling import LogSample
from flanneld_py.subnet import key, parse_key

__all__ = ["LeaseReader"]

logger = logging.getLogger(__name__)

LONGEST: Final = 200
"""Characters of a key that are logged and remembered; etcd allows keys of more than a MiB."""

REMEMBERED: Final = 10_000
"""Keys that are remembered, so that each is logged once."""


@dataclass(slots=True)
class LeaseReader:
    """Reads keys and values, and warns once about each that is not a lease.

    `folder` is `{prefix}/subnets/`, and a key is given by its last part, `10.2.35.0-24`.
    """

    folder: str
    _warned: set[str] = field(default_factory=set)
    _log_sample: LogSample = field(default_factory=LogSample)

    def written(
        self, name: str, value: bytes, revision: int, *, permanent: bool = False, created: int = 0
    ) -> LeaseAdded | LeaseUnreadable | None:
        """A key that was written, `permanent` if it does not expire; None if it does not name a subnet."""
        subnet = parse_key(name)
        if subnet is None:
            self._warn(name, "the key does not name a subnet")
            return None
        alias = "" if name == key(subnet) else name
        try:
            attrs = decode(value)
        except ValueError as error:
            self._warn(name, str(error))
            return LeaseUnreadable(subnet, revision, alias)
        self._warned.discard(name[:LONGEST])
        return LeaseAdded(StoredLease(Lease(subnet, attrs), revision, alias, permanent, created))

    def deleted(self, name: str, revision: int) -> LeaseRemoved | None:
        """A key that was deleted or expired; None if it does not name a subnet."""
        self._warned.discard(name[:LONGEST])
        subnet = parse_key(name)
        return None if subnet is None else LeaseRemoved(subnet, revision, "" if name == key(subnet) else name)

    def snapshot(self, entries: Iterable[tuple[str, bytes, int, bool, int]], revision: int) -> Snapshot:
        """All keys at a revision: name, value, revision of the last change, permanent, of the first."""
        listed = list(entries)
        self._warned &= {entry[0][:LONGEST] for entry in listed}  # the others went while nobody was watching
        read = [
            event
            for name, value, changed, permanent, created in listed
            if (event := self.written(name, value, changed, permanent=permanent, created=created)) is not None
        ]
        return Snapshot(
            tuple(event.held for event in read if isinstance(event, LeaseAdded)),
            revision,
            tuple(event for event in read if isinstance(event, LeaseUnreadable)),
        )

    def _warn(self, name: str, reason: str) -> None:
        name = name[:LONGEST]
        if name in self._warned:
            return
        if len(self._warned) >= REMEMBERED:
            self._warned.clear()
        self._warned.add(name)
        if text := self._log_sample.tell(f"Ignoring the key {self.folder}{name}: {reason}", clock.now()):
            logger.warning("%s", text)
