"""Faults of disks: a folder is full, or cannot be written."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab.faults.inside.kinds import Failed, Saved, Seen, State, run, state

__all__: list[str] = []

CHUNK = 1 << 16
FILLER = ".lab-fault-filler"


class Mounted(State):
    """Something is mounted over a folder."""

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.given["path"])

    @property
    def changes(self) -> Sequence[str]:
        """The folder."""
        return (f"mount {self.path}",)

    def save(self) -> Saved:
        """What is mounted there so far."""
        if not self.path.is_dir():
            raise Failed(f"{self.path} is no folder")
        return {"mounts": self._mounts()}

    def _mounts(self) -> int:
        """How many mounts are on it, one over the other (proc(5), mountinfo)."""
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        return sum(line.split()[4] == str(self.path) for line in lines)

    def stop(self) -> None:
        """Unmount it; what holds a file open there keeps it."""
        if self._mounts() > self.saved["mounts"]:
            run(["umount", "--lazy", str(self.path)])


@state("disk-full")
class Full(Mounted):
    """A folder is a small tmpfs, with what was in it, and no room left."""

    def start(self) -> None:
        """Copy, mount, fill."""
        copy = Path(f"/run/lab-fault-{self.given['id']}")
        shutil.copytree(self.path, copy, symlinks=True)
        try:
            size = sum(item.stat().st_blocks * 512 for item in copy.rglob("*") if item.is_file())
            room = size * 2 + 16 * CHUNK
            mode = f"{self.path.stat().st_mode & 0o7777:o}"
            run(["mount", "-t", "tmpfs", "-o", f"size={room},mode={mode}", "lab-fault", str(self.path)])
            run(["cp", "--archive", f"{copy}/.", str(self.path)])
        finally:
            shutil.rmtree(copy)
        with (self.path / FILLER).open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(CHUNK))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def seen(self) -> Seen:
        """By the blocks that are free."""
        if self._mounts() <= self.saved["mounts"]:
            return Seen(False, f"nothing is mounted over {self.path}")
        free = os.statvfs(self.path).f_bavail
        return Seen(free == 0, f"{self.path} has {free} free blocks")


@state("disk-read-only")
class ReadOnly(Mounted):
    """A folder can be read only; what has a file open for writing there keeps it."""

    def start(self) -> None:
        """Mount it over itself."""
        run(["mount", "--bind", "-o", "ro", str(self.path), str(self.path)])

    def seen(self) -> Seen:
        """By the flags of the mount."""
        if self._mounts() <= self.saved["mounts"]:
            return Seen(False, f"nothing is mounted over {self.path}")
        read_only = bool(os.statvfs(self.path).f_flag & os.ST_RDONLY)
        return Seen(read_only, f"{self.path} is {'read-only' if read_only else 'writable'}")
