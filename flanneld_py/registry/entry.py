"""What a key below `{prefix}/subnets/` and its value say; the same for every registry."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from flanneld_py.lease import HeldLease, Lease, decode
from flanneld_py.registry import Gone, Put, Snapshot, Spoiled
from flanneld_py.subnet import key, parse_key

__all__ = ["Reader"]

logger = logging.getLogger(__name__)

LONGEST: Final = 200
"""Characters of a key that are told and remembered; etcd has keys of more than a MiB."""


@dataclass(slots=True)
class Reader:
    """Reads keys and values, and warns of each that is no lease, once.

    `folder` is `{prefix}/subnets/`, below which a key is given by its last part, `10.2.35.0-24`.
    """

    folder: str
    _warned: set[str] = field(default_factory=set)

    def written(
        self, name: str, value: bytes, revision: int, *, permanent: bool = False
    ) -> Put | Spoiled | None:
        """A key that was written, `permanent` without an end; None for one that stands for no subnet."""
        subnet = parse_key(name)
        if subnet is None:
            self._warn(name, "the key names no subnet")
            return None
        alias = "" if name == key(subnet) else name
        try:
            attrs = decode(value)
        except ValueError as error:
            self._warn(name, str(error))
            return Spoiled(subnet, revision, alias)
        self._warned.discard(name[:LONGEST])
        return Put(HeldLease(Lease(subnet, attrs), revision, alias, permanent))

    def deleted(self, name: str, revision: int) -> Gone | None:
        """A key that was deleted or ran out; None for one that stood for no subnet."""
        self._warned.discard(name[:LONGEST])
        subnet = parse_key(name)
        return None if subnet is None else Gone(subnet, revision, "" if name == key(subnet) else name)

    def snapshot(self, entries: Iterable[tuple[str, bytes, int, bool]], revision: int) -> Snapshot:
        """All keys (name, value, revision of its last change, permanent) at a revision."""
        read = [
            event
            for name, value, changed, permanent in entries
            if (event := self.written(name, value, changed, permanent=permanent)) is not None
        ]
        return Snapshot(
            tuple(event.held for event in read if isinstance(event, Put)),
            revision,
            tuple(event for event in read if isinstance(event, Spoiled)),
        )

    def _warn(self, name: str, reason: str) -> None:
        name = name[:LONGEST]
        if name not in self._warned:
            self._warned.add(name)
            logger.warning("Ignoring the key %s%s: %s", self.folder, name, reason)
