"""What `lab cp` is told, and where in its destination a source goes: as `docker cp` has it. Pure."""

import posixpath
from dataclasses import dataclass
from typing import Literal

from lab.errors import LabError, Unfit

__all__ = ["Goal", "Kind", "Place", "goal", "read_place", "require_one_side"]

Kind = Literal["absent", "file", "folder", "link"]
"""What a path leads to; of a link that was not followed nothing else is known."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path on a machine or pod, or here."""

    where: str
    """The machine's or pod's name; empty: here."""
    path: str
    """Without a `/` or `/.` at its end; elsewhere from the root."""
    contents: bool = False
    """Not the folder itself, but what is in it: it ended with `/.`."""
    is_folder: bool = False
    """It ended with `/`, so it has to be a folder."""

    def __str__(self) -> str:
        return f"{self.where}:{self.path}" if self.where else self.path

    @property
    def name(self) -> str:
        """Its last part; that of the root and of `..` is a dot."""
        last = posixpath.basename(self.path)
        return last if last not in ("", "..") else "."

    @property
    def parent(self) -> "Place":
        """The folder that it is in."""
        return Place(self.where, posixpath.dirname(self.path) or ("/" if self.where else "."))


@dataclass(frozen=True, slots=True)
class Goal:
    """Where what is copied goes."""

    folder: str
    """Is there."""
    name: str
    """What it is called in that; empty where what is in a folder goes into this one."""


def read_place(word: str) -> Place:
    """`NODE:PATH`, `POD:PATH`, or a path here; one with a colon begins with `/` or `./`. Raises `Unfit`."""
    if word == "-":
        raise Unfit(
            "-: files and folders are copied, and no streams",
            hint="Standard input goes into a file with: lab exec -i NODE tee FILE",
        )
    where, colon, path = word.partition(":")
    if not colon or "/" in where or where in ("", ".", ".."):
        where, path = "", word
    elif not path.startswith("/"):
        path = f"/{path}"
    if not path:
        raise Unfit("a path is empty")
    contents = path.endswith("/.") or path == "."
    is_folder = contents or path.endswith("/")
    return Place(where, posixpath.normpath(path), contents, is_folder)


def require_one_side(source: Place, destination: Place) -> None:
    """Raise `Unfit` unless one of them is here, and the other elsewhere."""
    if bool(source.where) == bool(destination.where):
        both = "this machine's" if not source.where else "elsewhere"
        raise Unfit(
            f"{source} and {destination} are both {both}",
            hint="One of them is NODE:PATH or POD:PATH, and the other a path here.",
        )


def goal(source: Place, kind: Kind, destination: Place, there: Kind, parent: Kind) -> Goal:
    """Where a source of this kind goes. Raises `LabError` where it cannot go there.

    `there` is what the destination leads to, and `parent` the folder that it is in.
    """
    if kind == "absent":
        raise LabError(f"there is no file or folder {source}")
    if source.is_folder and kind != "folder":
        raise LabError(f"{source} is no folder")
    if there == "folder":
        return Goal(destination.path, "" if source.contents else source.name)
    if there != "absent" and (kind == "folder" or destination.is_folder):
        raise LabError(f"{destination} is no folder")
    if there == "absent" and destination.is_folder and kind != "folder":
        raise LabError(f"there is no folder {destination}")
    if parent != "folder":
        raise LabError(f"there is no folder {destination.parent}")
    return Goal(destination.parent.path, destination.name)
