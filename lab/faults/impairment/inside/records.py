"""What was started on this node, and in what order: files in memory, which go with a reboot as the rules do.

They say what to look for. Whether it is there, the kernel is asked (`evidence`).
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.faults.impairment.model import Rule
from lab.faults.impairment.plan import Stage, Way

__all__ = ["Records", "open_records"]

ROOT = Path("/run/overlay-lab/impairments")


class Records:
    """A folder for this network namespace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stages(self) -> Sequence[Stage]:
        """The rules, in no order."""
        return [self._stage(path) for path in sorted(self._folder.glob("*.json"))]

    @staticmethod
    def _stage(path: Path) -> Stage:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Stage(Rule.from_document(document["rule"]), document["slot"], Way(document["way"]))

    def add(self, stage: Stage) -> None:
        """Remember a rule."""
        document = {"rule": stage.rule.as_document(), "slot": stage.slot, "way": stage.way.value}
        path = self._path(stage)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(document), encoding="utf-8")
        draft.replace(path)

    def remove(self, stage: Stage) -> None:
        """Forget a rule."""
        self._path(stage).unlink(missing_ok=True)

    def _path(self, stage: Stage) -> Path:
        return self._folder / f"{stage.rule.identifier}.json"

    def borrow(self, device: str) -> None:
        """Remember that a device's clsact is not ours."""
        (self._folder / f"clsact-{device}.borrowed").touch()

    def is_borrowed(self, device: str) -> bool:
        """Whether it is not."""
        return (self._folder / f"clsact-{device}.borrowed").exists()

    def give_back(self, device: str) -> None:
        """Forget about a device's clsact."""
        (self._folder / f"clsact-{device}.borrowed").unlink(missing_ok=True)


@contextmanager
def open_records() -> Iterator[Records]:
    """The records, for one process at a time; for what it has started as well, should it be killed."""
    folder = ROOT / str(Path("/proc/self/ns/net").stat().st_ino)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Records(folder)
    finally:
        os.close(descriptor)
