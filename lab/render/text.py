"""Lines and columns."""

from collections.abc import Iterable, Sequence

__all__ = ["indent", "table"]

GAP = "   "


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; a cell may have several lines."""
    lines = [[cell.splitlines() or [""] for cell in row] for row in (header, *rows)]
    widths = [max(len(line) for row in lines for line in row[column]) for column in range(len(header))]
    text = []
    for row in lines:
        for number in range(max(len(cell) for cell in row)):
            cells = [cell[number] if number < len(cell) else "" for cell in row]
            text.append(
                GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
            )
    return "\n".join(text)


def indent(text: str, by: str = "  ") -> str:
    """Each line moved to the right."""
    return "\n".join(f"{by}{line}".rstrip() for line in text.splitlines())
