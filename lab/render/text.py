"""Lines and columns."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["indent", "less", "table"]

GAP = "   "
WORDS = re.compile(r"(?<=\s)(?=\S)")
PARTS = re.compile(r"(?<=[,:=])(?=\S)|(?<=\S)(?=/)")
"""Where a line may go on in the next one: after a blank; in a word that is too long, as JSON and paths are,
after a comma, `:` or `=`, and before a `/`.
"""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> str:
    """Columns as wide as their widest cell; a cell may have several lines.

    Where that is more than `width` allows, cells go on in a next line, never inside a name or number. Where
    that does not help, each row is a paragraph with a line for each column.
    """
    cells = [[cell.splitlines() or [""] for cell in row] for row in (header, *rows)]
    columns = list(zip(*cells, strict=True))
    natural = [max(len(line) for cell in column for line in cell) for column in columns]
    widths: Sequence[int] = natural
    if width is not None:
        least = [max(_least(line) for cell in column for line in cell) for column in columns]
        fitting = _fit(natural, least, width - len(GAP) * (len(columns) - 1))
        if fitting is None:
            return _paragraphs(header, cells[1:], width)
        widths = fitting
    text = []
    for row in cells:
        wrapped = [
            [part for line in cell for part in _wrap(line, room)]
            for cell, room in zip(row, widths, strict=True)
        ]
        for number in range(max(len(cell) for cell in wrapped)):
            line = [cell[number] if number < len(cell) else "" for cell in wrapped]
            text.append(GAP.join(part.ljust(room) for part, room in zip(line, widths, strict=True)).rstrip())
    return "\n".join(text)


def _least(line: str) -> int:
    """The width of its longest part that cannot be divided."""
    return max(len(part.rstrip()) for word in WORDS.split(line) for part in PARTS.split(word))


def _fit(natural: Sequence[int], least: Sequence[int], room: int) -> Sequence[int] | None:
    """The columns' widths, the widest ones cut to one measure that lets all fit; None if there is none."""
    for limit in range(max(natural), -1, -1):
        widths = [max(low, min(high, limit)) for low, high in zip(least, natural, strict=True)]
        if sum(widths) <= room:
            return widths
    return None


def _wrap(line: str, room: int) -> list[str]:
    """The line, in as many as it takes."""
    lines = [""]
    for word in WORDS.split(line):
        for part in PARTS.split(word) if len(word.rstrip()) > room else [word]:
            if lines[-1] and len((lines[-1] + part).rstrip()) > room:
                lines.append("")
            lines[-1] += part
    return [item.rstrip() for item in lines]


def _paragraphs(header: Sequence[str], rows: Sequence[Sequence[Sequence[str]]], width: int) -> str:
    names = max(len(name) for name in header)

    def lines(name: str, cell: Sequence[str]) -> list[str]:
        room = width - names - len(GAP)
        parts = [part for line in cell for part in _wrap(line, room)]
        heads = [name, *[""] * (len(parts) - 1)]
        text = [f"{head.ljust(names)}{GAP}{part}".rstrip() for head, part in zip(heads, parts, strict=True)]
        return text if name else [line.lstrip() for line in text]

    return "\n\n".join(
        "\n".join(line for name, cell in zip(header, row, strict=True) for line in lines(name, cell))
        for row in rows
    )


def indent(text: str, by: str = "  ") -> str:
    """Each line moved to the right."""
    return "\n".join(f"{by}{line}".rstrip() for line in text.splitlines())


def less(width: int | None, by: str = "  ") -> int | None:
    """What is left of a width for text that is to be indented."""
    return None if width is None else width - len(by)
