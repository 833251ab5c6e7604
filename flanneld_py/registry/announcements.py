"""What nodes say beside their leases, at `{prefix}-ext/<backend type>/<subnet key>`: JSON objects. Pure.

A lease's own value stays byte for byte flannel's, and a genuine flannel never looks there. Its member
"Revision" is that of the lease's key when it was said: it counts only as long as the lease stays as it was.
So it ends with a lease that another flannel has renewed, also on the same machine and for the same subnet.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from flanneld_py.registry import Announcement, Forbidden
from flanneld_py.subnet import key, parse_key

__all__ = ["LONGEST", "AnnouncementReader", "folder", "revision_of", "said_at"]

logger = logging.getLogger(__name__)

LONGEST: Final = 4096
"""Bytes that a node may say."""

_REVISION: Final = "Revision"


def folder(prefix: str, kind: str) -> str:
    """Below which the nodes of a backend of this type say it."""
    return f"{prefix}-ext/{kind}/"


def said_at(text: bytes, revision: int) -> bytes:
    """`text`, a JSON object, said of a lease at this revision of its key."""
    return json.dumps({_REVISION: revision, **json.loads(text)}, separators=(",", ":")).encode()


def revision_of(value: bytes) -> int:
    """The revision of the lease that this was said of; 0, which none has, where that cannot be read."""
    if len(value) > LONGEST:
        return 0
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        return 0
    revision = said.get(_REVISION) if isinstance(said, dict) else None
    return revision if type(revision) is int else 0


@dataclass(slots=True)
class AnnouncementReader:
    """Reads keys below `folder`; empty where nothing is followed.

    `forbidden`: we may not read them, by what was seen last. What we may not do is told once.
    """

    folder: str = ""
    forbidden: bool = False
    _warned: set[str] = field(default_factory=set)

    @property
    def wanted(self) -> bool:
        """Whether anything is to be said and watched."""
        return bool(self.folder) and not self.forbidden

    @contextmanager
    def permitted(self, endpoint: str, doing: Literal["read", "write"]) -> Iterator[None]:
        """Do it at this endpoint. That we may not is told, and not raised: it is no fault of the endpoint."""
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
            text = (
                "%s: we may not %s what nodes say beside their leases: give our user a role that may, for %s"
            )
            logger.warning(text, endpoint, doing, self.folder)

    def said(self, name: str, value: bytes) -> Announcement | None:
        """What the last part of a key and its value say, empty for one that was deleted; None if nothing."""
        subnet = parse_key(name)
        if subnet is None or name != key(subnet):
            return None
        return Announcement(subnet, value if len(value) <= LONGEST else b"")
