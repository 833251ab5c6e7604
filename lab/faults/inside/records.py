"""The faults that were started on this machine, as files: what they are, and what their inverses must know.

They stand on the machine's disk, because what stands there or in etcd outlives a reboot; each says in which
boot it was started. What is in force is never read from here: the machine itself is asked.
"""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.faults.inside.kinds import Given, Saved

__all__ = ["FOLDER", "Record", "Records", "Step", "boot"]

FOLDER = Path("/var/lib/overlay-lab/faults")


def boot() -> str:
    """This machine's boot: the kernel's, and when the machine's first process was started (proc(5))."""
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    started = Path("/proc/1/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return f"{kernel} {started}"


@dataclass(slots=True)
class Step:
    """One thing that was made so."""

    does: str
    given: Given
    saved: Saved
    boot: str


@dataclass(slots=True)
class Record:
    """A fault on this machine."""

    id: str
    about: dict[str, Any]
    """What was asked for, and when: whoever asked gives a meaning to it."""
    steps: list[Step] = field(default_factory=list)
    """In the order in which they were taken."""


class Records:
    """The folder of records. Who changes something holds its lock."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One at a time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def every(self) -> Sequence[Record]:
        """All of them."""
        return [self._read(path) for path in sorted(self._folder.glob("*.json"))]

    def get(self, identifier: str) -> Record | None:
        """One, if it is there."""
        path = self._path(identifier)
        return self._read(path) if path.exists() else None

    def put(self, record: Record) -> None:
        """Write one, whole or not at all."""
        new = self._folder / f"{record.id}.new"
        new.write_text(json.dumps(asdict(record)), encoding="utf-8")
        new.rename(self._path(record.id))

    def remove(self, identifier: str) -> None:
        """It is no more."""
        self._path(identifier).unlink(missing_ok=True)

    def _path(self, identifier: str) -> Path:
        return self._folder / f"{identifier}.json"

    def _read(self, path: Path) -> Record:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Record(found["id"], found["about"], [Step(**step) for step in found["steps"]])
