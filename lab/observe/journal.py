"""A machine's journal, from the JSON of journalctl to lines with both clocks. Pure.

The monotonic clock is the kernel's, which all machines of an engine share: by it their logs can be compared.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["Line", "lines_of", "merged", "shown"]


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a journal."""

    monotonic: int
    """Microseconds since the kernel has started (CLOCK_MONOTONIC)."""
    wall: int
    """Microseconds since 1970 (CLOCK_REALTIME)."""
    origin: str
    """Who said it, such as dockerd[123]."""
    message: str

    @property
    def words(self) -> str:
        """Who said what; further lines of a message are indented."""
        message = self.message.rstrip("\n").replace("\n", "\n    ")
        return " ".join(filter(None, (f"{self.origin}:", message)))

    def text(self, machine: str = "") -> str:
        """For a person, with both clocks."""
        at = datetime.fromtimestamp(self.wall // 1_000_000, UTC)
        clocks = f"{at:%Y-%m-%dT%H:%M:%S}.{self.wall % 1_000_000:06}Z [{self.monotonic / 1e6:13.6f}]"
        return " ".join(filter(None, (clocks, machine, self.words)))


def lines_of(text: str) -> tuple[list[Line], list[str]]:
    """The entries in the output of `journalctl --output=json`, and the lines of it that are none."""
    found, others = [], []
    # Only there: what else str.splitlines takes for the end of a line may stand in a message, as U+2028.
    for line in text.removesuffix("\n").split("\n") if text else ():
        try:
            found.append(_line(json.loads(line)))
        except (ValueError, KeyError, TypeError):
            others.append(line)
    return found, others


def _line(entry: Mapping[str, Any]) -> Line:
    name = _text(entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM") or "?")
    pid = entry.get("_PID")
    return Line(
        int(entry["__MONOTONIC_TIMESTAMP"]),
        int(entry["__REALTIME_TIMESTAMP"]),
        f"{name}[{_text(pid)}]" if pid else name,
        _text(entry.get("MESSAGE")),
    )


def _text(value: object) -> str:
    """A field's value: text; numbers of its bytes where they are not printable; several of either; or null
    where it is too long (systemd.journal-fields(7), "JSON format" of Journal Export Formats).
    """
    if value is None:
        return "(too long)"
    if isinstance(value, list):
        if all(isinstance(item, int) for item in value):
            return bytes(value).decode(errors="replace")
        return "\n".join(map(_text, value))
    return str(value)


def shown(lines: Iterable[Line]) -> str:
    """The text of a machine's log."""
    return "".join(f"{line.text()}\n" for line in lines)


def merged(machines: Mapping[str, Iterable[Line]], *, several: bool = False) -> str:
    """The logs of all machines as one, in the order of the clock that they share.

    On several engines they may be of several kernels, and what is nearest to a common clock is the wall's.
    """
    every = [
        (line.wall if several else line.monotonic, name, line)
        for name, lines in machines.items()
        for line in lines
    ]
    return "".join(_texts(every))


def _texts(every: list[tuple[int, str, Line]]) -> Iterator[str]:
    width = max((len(name) for _, name, _ in every), default=0)
    for _, name, line in sorted(every, key=lambda item: item[:2]):
        yield f"{line.text(name.ljust(width))}\n"
