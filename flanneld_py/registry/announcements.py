"""What nodes announce beside their leases, at `{prefix}-ext/<backend type>/<subnet key>`: JSON objects. Pure.

A lease's own value stays byte for byte flannel's, and a genuine flannel never looks here. The member
"Revision" is the revision of the lease's key at the time: an announcement counts only as long as the lease is
unchanged. So it ends when another flannel renews the lease, even on the same machine and for the same subnet.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from flanneld_py.registry import Announcement, Forbidden
from flanneld_py.subnet import key, parse_key

__all__ = ["LONGEST", "AnnouncementReader", "folder", "revision_of", "stamped"]

logger = logging.getLogger(__name__)

LONGEST: Final = 4096
"""Bytes that a node may announce."""

_REVISION: Final = "Revision"


def folder(prefix: str, kind: str) -> str:
    """Below which nodes with a backend of this type announce things."""
    return f"{prefix}-ext/{kind}/"


def stamped(text: bytes, revision: int) -> bytes:
    """`text`, a JSON object, as announced of a lease at this revision of its key."""
    return json.dumps({_REVISION: revision, **json.loads(text)}, separators=(",", ":")).encode()


def revision_of(value: bytes) -> int:
    """The revision of the lease that this was announced of; 0, which no lease has, if it cannot be read."""
    if len(value) > LONGEST:
        return 0
    try:
        announced = json.loads(value)
    except (ValueError, RecursionError):
        return 0
    revision = announced.get(_REVISION) if isinstance(announced, dict) else None
    return revision if type(revision) is int else 0


@dataclass(slots=True)
class AnnouncementReader:
    """Reads keys below `folder`, which is empty if nothing is followed.

    `forbidden`: the last attempt to read them was not permitted. What is not permitted is logged once.
    """

    folder: str = ""
    forbidden: bool = False
    _warned: set[str] = field(default_factory=set)

    @property
    def wanted(self) -> bool:
        """Whether to write and watch announcements."""
        return bool(self.folder) and not self.forbidden

    @contextmanager
    def permitted(self, endpoint: str, doing: Literal["read", "write"]) -> Iterator[None]:
        """Do it at this endpoint. A lack of permission is logged, not raised: all endpoints have it."""
        try:
            yield
        except Forbidden:
            forbidden = True
            self._warn(endpoint, doing)
        else:
            forbidden = False
        if doing == "read":
            self.forbidden = forbidden

    def _warn(self, endpoint: str, doing: str) -> None:
        if doing not in self._warned:
            self._warned.add(doing)
            text = "%s: no permission to %s what nodes announce: give our user a role that has it, for %s"
            logger.warning(text, endpoint, doing, self.folder)

    def read(self, name: str, value: bytes) -> Announcement | None:
        """What a key announces, by its last part and its value (empty if it was deleted); None if nothing."""
        subnet = parse_key(name)
        if subnet is None or name != key(subnet):
            return None
        return Announcement(subnet, value if len(value) <= LONGEST else b"")
