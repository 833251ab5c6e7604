"""What this machine knows of faults and of leases, as it changes."""

import json
import os
import queue
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.soak.inside import record

__all__ = ["Etcd", "Faults"]

FOLDER = Path("/var/lib/overlay-lab/faults")
"""In which `lab.faults.inside.records` keeps them."""

AGAIN = 1.0
"""Seconds until a watch that has ended is begun anew."""

PATIENCE = 1.0
"""Seconds for it to end."""

MOST = 512
"""Lines that are taken at once, of which a pipe holds many more."""

INDEX = re.compile(r"^Index: (\d+)$", re.MULTILINE)
"""The store's own, in what etcdctl of v2 prints as `extended`."""

NO_KEY = re.compile(r"\b100: .* \[(\d+)\]")
"""EcodeKeyNotFound of etcd's v2 API, with the store's index."""

CLEARED = re.compile(r"\b401: .*\[(\d+)/\d+\]\)")
"""EcodeEventIndexCleared: the first index that there is yet, and the one that was asked for."""


class Faults:
    """Those on this machine's record."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._changed = -1

    def news(self) -> tuple[int, Mapping[str, Any]] | None:
        """What each is about, by identifier, and since when it is so (in nanoseconds); None: as before."""
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            changed = 0
        if changed == self._changed:
            return None
        self._changed = changed
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            with suppress(OSError, ValueError, KeyError):  # it is just being removed
                kept = json.loads(path.read_text(encoding="utf-8"))
                found[kept["id"]] = kept["about"]
        return changed, found


class V3:
    """How etcd's v3 store is watched, as `lab.soak.inside.record` does it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}/"

    def upcoming(self) -> int | None:
        """The revision that etcd will have next; None where it does not say."""
        return record.upcoming(self._prefix)

    def watching(self, first: int | None) -> list[str]:
        """The command that tells what becomes of keys from this revision on, or from now on."""
        return record.watching(self._prefix, first)

    def following(self, text: str) -> int | None:
        """The revision that comes after a line of it; None where the line tells none."""
        return record.following(text)


class V2:
    """The same for the v2 store, whose revisions are called indices."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def upcoming(self) -> int | None:
        """Of a key that is there, or of the complaint that it is not."""
        done = record.ended(["etcdctl", "--output=extended", "get", f"{self._prefix}/config"])
        found = INDEX.search(done.stdout) or NO_KEY.search(done.stderr)
        return int(found[1]) + 1 if found else None

    def watching(self, first: int | None) -> list[str]:
        """Its options come before the key."""
        argv = ["etcdctl", "--output=json", "watch", "--forever", "--recursive"]
        return [*argv, *([f"--after-index={first - 1}"] if first else []), self._prefix]

    def following(self, text: str) -> int | None:
        """Of a watch that asks for what etcd has no more, that is the first of which it has something."""
        if cleared := CLEARED.search(text):
            return int(cleared[1])
        try:
            return int(json.loads(text)["node"]["modifiedIndex"]) + 1
        except (ValueError, LookupError, TypeError):
            return None


class Etcd:
    """What etcdctl tells of keys, as it changes: a watch that ends goes on where it was.

    All of that is waited for in a thread of its own, however long etcd takes to answer.
    """

    def __init__(self, api: str, prefix: str, ready: Callable[[], None]) -> None:
        """`ready` is called, in that thread, once nothing of what follows is missed."""
        self._store = V2(prefix) if api == "v2" else V3(prefix)
        self._ready = ready
        self._first: int | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._awake, self._wake = os.pipe()
        over = threading.Event()
        self._commands = record.Commands(self, over, AGAIN)
        given = ("etcd", self._watching, None, self._store.following)
        self._task = threading.Thread(target=self._commands.watch, args=given, daemon=True)
        self._task.start()

    def _watching(self, first: int | None) -> list[str]:
        """The command; of a store that was set back, from where it is now."""
        known = (first or self._first, self._store.upcoming())
        self._first = min((revision for revision in known if revision), default=None)
        self._ready()
        return self._store.watching(self._first)

    def write(self, _name: str, text: str) -> None:
        """Take a line, in the thread; what else than JSON is printed is no change."""
        if text.startswith("{"):
            self._lines.put(text)
            os.write(self._wake, b"\0")

    def fileno(self) -> int:
        """A descriptor that can be read when there is something to take."""
        return self._awake

    def take(self) -> str:
        """The lines that have come."""
        found = [self._lines.get() for _ in os.read(self._awake, MOST)]
        return "".join(f"{line}\n" for line in found)

    def end(self) -> None:
        """Kill it; one that just asks where to begin ends with this program."""
        self._commands.end()
        self._task.join(PATIENCE)
