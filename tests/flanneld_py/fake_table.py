"""The kernel's tables, in memory."""

import os
from collections.abc import Collection, Container, Sequence

from flanneld_py.kernel.entries import Add, Change, Route, SeenEntry, Slot, slot

__all__ = ["FakeTable"]


class FakeTable:
    """Has one entry for each slot.

    `refusals` are errno values by the entry that the kernel will not have, `kept` by that which it will not
    let go; `deaf`: it cannot be asked at all.
    """

    def __init__(self, *seen: SeenEntry) -> None:
        self.entries = {slot(item.entry): item for item in seen}
        self.refusals: dict[object, int] = {}
        self.kept: dict[object, int] = {}
        self.deaf = 0
        self.performed: list[tuple[Change, ...]] = []
        self.dumps = 0

    def perform(self, changes: Sequence[Change], /) -> list[tuple[Change, OSError]]:
        self._hear()
        self.performed.append(tuple(changes))
        failed: list[tuple[Change, OSError]] = []
        for change in changes:
            code = self.refusals.get(change.entry)
            if code is not None and isinstance(change, Add):
                failed.append((change, OSError(code, f"Setting {change.entry}: {os.strerror(code)}")))
            elif isinstance(change, Add):
                self.entries[slot(change.entry)] = SeenEntry(change.entry, ours=True)
            elif (code := self.kept.get(change.entry)) is not None:
                failed.append((change, OSError(code, f"Deleting {change.entry}: {os.strerror(code)}")))
            else:
                self.entries.pop(slot(change.entry), None)
        return failed

    def _hear(self) -> None:
        if self.deaf:
            raise OSError(self.deaf, os.strerror(self.deaf))

    def seen(self, devices: Collection[int], *, wanted: Container[Slot]) -> list[SeenEntry]:
        self._hear()
        self.dumps += 1
        return [
            item
            for where, item in self.entries.items()
            if item.entry.device in devices
            or where in wanted
            or (item.ours and isinstance(item.entry, Route))
        ]

    def texts(self) -> list[str]:
        return sorted(str(item.entry) for item in self.entries.values())
