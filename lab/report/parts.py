"""What a report's sections share. Pure."""

from lab.page.markup import Markup, Writer
from lab.report.model import Absent

__all__ = ["absent", "bar"]


def absent(write: Writer, part: Absent, how: str = "") -> Markup:
    """A part that is not there: why, and how to get it."""
    return write(
        "div",
        write("p", f"Not in this report: {part.why}"),
        write("p", f"To have it: {part.how or how}", class_="quiet") if part.how or how else Markup(),
        class_="absent",
    )


def bar(write: Writer, began: float, length: float, whole: float, kind: str = "") -> Markup:
    """A stretch of a whole, for the eye alone: the numbers stand beside it."""
    start = min(100.0, 100 * began / whole) if whole else 0.0
    wide = min(100.0 - start, 100 * length / whole) if whole else 0.0
    style = f"margin-left:{start:.2f}%;width:{wide:.2f}%"
    return write("div", write("span", style=style, class_=kind), class_="bar", aria_hidden="true")
