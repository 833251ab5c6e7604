"""The table of all checks, for docs/lab.md, where `make docs` writes it."""

from lab.checks.registry import PART, Check, every_check

__all__ = ["table"]


def table() -> str:
    """The table in Markdown, in the order in which the checks run."""
    rows = [f"| `{item.id}` | {_title(item)} | {item.on} | {item.expects} |" for item in every_check()]
    return "\n".join(["| identifier | check | on | expected |", "|---|---|---|---|", *rows]) + "\n"


def _title(item: Check) -> str:
    title = item.title.replace(PART, item.part)
    return f"`{title}`"
