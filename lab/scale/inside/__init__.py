"""The program that looks at all nodes from inside the container: one file of Python's library alone."""

from collections.abc import Mapping
from importlib.resources import files

from lab.engine import FileContent

__all__ = ["LOOK", "programs"]

LOOK = "/usr/local/lib/lab-scale/look.py"
"""Its path in the container."""


def programs() -> Mapping[str, FileContent]:
    """It, by its path."""
    return {LOOK: FileContent(files(__name__).joinpath("look.py").read_bytes())}
