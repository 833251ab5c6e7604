"""Which lines of a service's log say why it does not run. Pure."""

import re
from collections.abc import Iterator, Sequence

__all__ = ["telling"]

USAGE = re.compile(r"\s*usage\b", re.IGNORECASE)
"""How the usage text begins that Go's flag, argparse, getopt programs and many shell scripts print."""

ERROR = re.compile(
    r"^[EF]\d{4} |(error|exception)\b"
    r"|\b(fatal|panic|invalid|unknown|unrecognized|cannot|can't|failed|refused|denied|no such)\b"
    r"|\bnot (defined|found|permitted|supported)\b",
    re.IGNORECASE,
)
"""Words of a complaint; E and F are glog's marks of errors."""

AT_MOST = 3
"""Complaints that are shown though the log goes on for long after them, such as with a dump of goroutines."""


def telling(log: str, lines: int = 8) -> str:
    """The lines of a log to show a person: no usage text, its last lines, and what complained before them."""
    kept = list(_without_usage(log.splitlines()))
    last, before = kept[-lines:], kept[:-lines]
    if any(ERROR.search(line) for line in last):
        return "\n".join(last)
    complaints = [line for line in before if ERROR.search(line)][-AT_MOST:]
    return "\n".join([*complaints, "...", *last] if complaints else last)


def _without_usage(lines: Sequence[str]) -> Iterator[str]:
    """A usage text is a line that says so, and all after it that is indented, empty, or heads such lines."""
    inside = False
    for number, line in enumerate(lines):
        follower = lines[number + 1] if number + 1 < len(lines) else ""
        if USAGE.match(line):
            inside = True
        elif inside and not _belongs(line, follower):
            inside = False
        if not inside:
            yield line


def _belongs(line: str, follower: str) -> bool:
    return not line.strip() or line[0].isspace() or (line.rstrip().endswith(":") and follower[:1].isspace())
