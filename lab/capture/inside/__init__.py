"""The program that sees packets on a machine: an archive of the modules here."""

from collections.abc import Mapping

from lab.engine import FileContent
from lab.inside import archive

__all__ = ["command", "program_files"]

PATH = "/usr/lib/overlay-lab/capture.pyz"
"""On a machine."""

MODULES = {
    "lab": ("labels",),
    "lab.capture.inside": ("devices", "happenings", "main", "pods", "tap"),
    "lab.soak.inside": ("record",),
    "lab.trace.inside": ("namespaces",),
}


def command(asked: str) -> list[str]:
    """What runs the program on a machine; `asked` is the JSON that it takes."""
    return ["/usr/bin/python3", "-IS", PATH, asked]


def program_files() -> Mapping[str, FileContent]:
    """The program, by the path that it has on a machine."""
    return {PATH: FileContent(archive("lab.capture.inside.main", MODULES))}
