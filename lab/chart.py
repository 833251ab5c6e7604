"""A chart of measurements, as an SVG file and a PNG file beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import Unfit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["chart", "require_matplotlib"]

WIDTH = 12.0
"""Inches."""


def require_matplotlib(verb: str) -> None:
    """Raise `Unfit` if matplotlib, which only the extra `bench` brings, is not installed."""
    if find_spec("matplotlib") is None:
        raise Unfit(
            f"{verb} draws its picture with matplotlib, which is not installed",
            hint="pip install 'overlay-lab[bench]'; in a clone: make setup",
        )


@contextmanager
def chart(path: Path, height: float) -> Iterator["Figure"]:
    """A figure to draw on, `height` inches high, then written as PATH.svg and PATH.png.

    The same drawing makes the same files, byte by byte, so that a picture changes only when its figures do.
    """
    import matplotlib  # takes half a second, and few verbs need it
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "overlay-lab", "font.size": 9}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
        figure.set_layout_engine(None)  # it is laid out now, and each file would do so again
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=110, metadata={"Software": None})
