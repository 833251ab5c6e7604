"""The table of the decisions, for docs/adr/README.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.pages import title

__all__ = ["decisions", "table"]

FOLDER: Final = Path(__file__).parents[2] / "docs" / "adr"


def decisions() -> Sequence[Path]:
    """The pages of the decisions, in their order."""
    return sorted(FOLDER.glob("[0-9]*.md"))


def table() -> str:
    """A row for each decision."""
    rows = [title(page).split(". ", 1) for page in decisions()]
    lines = [
        f"| {number} | [{words}]({page.name}) |"
        for page, (number, words) in zip(decisions(), rows, strict=True)
    ]
    return "\n".join(["| | decision |", "|---|---|", *lines]) + "\n"
