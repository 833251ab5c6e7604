"""What this machine knows of faults and of leases, as it changes."""

import json
import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Etcd", "Faults"]

FOLDER = Path("/var/lib/overlay-lab/faults")
"""In which `lab.faults.inside.records` keeps them."""

QUIET = 20
"""Milliseconds of silence after which what etcdctl has printed is whole."""

MOST = 1 << 20
"""Bytes."""


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
                record = json.loads(path.read_text(encoding="utf-8"))
                found[record["id"]] = record["about"]
        return changed, found


class Etcd:
    """What etcdctl prints, while it watches; begun anew when it ends."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._process = self._begin()

    def _begin(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def fileno(self) -> int:
        """The descriptor of its output, which is another one once it was begun anew."""
        assert self._process.stdout is not None  # noqa: S101 - what mypy cannot know
        return self._process.stdout.fileno()

    def take(self) -> str:
        """What it has printed; empty when it has ended."""
        said = b""
        waiting = select.poll()
        waiting.register(self.fileno(), select.POLLIN)
        while len(said) < MOST and waiting.poll(QUIET if said else 0):
            data = os.read(self.fileno(), 1 << 16)
            if not data:
                break
            said += data
        return said.decode(errors="replace")

    def begin_anew(self) -> None:
        """After its end, as when etcd is down."""
        self.end()
        self._process = self._begin()

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()
