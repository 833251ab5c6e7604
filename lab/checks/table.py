"""The table of all checks, for docs/lab.md: made of the registry by `make docs`, so that neither can lag."""

import sys
from pathlib import Path

from lab.checks.registry import PART, Check, every_check

__all__ = ["BEGIN", "END", "table", "updated"]

BEGIN = "<!-- checks: written by make docs -->"
END = "<!-- end of checks -->"


def table() -> str:
    """In Markdown, in the order in which they are made."""
    rows = [f"| `{item.id}` | {_title(item)} | {item.on} | {item.expects} |" for item in every_check()]
    return "\n".join(["| identifier | check | on | expected |", "|---|---|---|---|", *rows])


def _title(item: Check) -> str:
    title = item.title.replace(PART, item.part)
    return f"`{title}`"


def updated(page: str) -> str:
    """The page with its table as it must be. Raises `ValueError` where it has no place for one."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected a line {BEGIN} and, after it, a line {END}")
    return f"{before}{begin}\n{table()}\n{end}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
