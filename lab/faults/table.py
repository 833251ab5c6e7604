"""The table of all faults, for docs/faults.md, where `make docs` writes it."""

from lab.faults.registry import Fault, every_fault

__all__ = ["table"]


def table() -> str:
    """The table in Markdown, by subject."""
    rows = [
        f"| {item.subject} | `{_cell(item.usage)}` | {item.kind} | {_does(item)} | {item.holds} |"
        for item in every_fault()
    ]
    header = "| | `lab fault start` | kind | does | what must hold |"
    return "\n".join([header, "|---|---|---|---|---|", *rows]) + "\n"


def _does(item: Fault) -> str:
    return f"{item.does}. **Refused**: {item.refused}" if item.refused else item.does


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
