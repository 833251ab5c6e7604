"""What pages show of what a verb has measured and written into a folder of docs/."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["read", "short", "table", "words"]

DOCS: Final = Path(__file__).parent.parent.parent / "docs"


def read(path: str) -> Mapping[str, Any]:
    """A file of docs/."""
    content: Mapping[str, Any] = json.loads((DOCS / path).read_text())
    return content


def words(key: str) -> str:
    """`congestionControl` for a person."""
    return re.sub("[A-Z]", lambda letter: f" {letter[0].lower()}", key)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def short(value: float) -> str:
    """Three digits, and thousands with commas."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
