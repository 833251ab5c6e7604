"""The program that runs on a node: an archive of a few of our modules, which need Python's library alone."""

from collections.abc import Mapping

from lab.engine import FileContent
from lab.inside import archive

__all__ = ["command", "program_files"]

PATH = "/usr/lib/overlay-lab/impair.pyz"
"""On a machine."""

CORE = ("evidence", "line", "model", "pipeline", "plan", "seen", "selector", "status", "units", "xdp")
INSIDE = ("bpf", "delay_line", "impair", "kernel", "perform", "records", "tap", "verbs")
MODULES = {
    "lab": ("errors", "suggest", "wait"),
    "lab.bpf": ("call", "code"),
    "lab.faults.impairment": CORE,
    "lab.faults.impairment.inside": INSIDE,
}


def command(*arguments: str) -> list[str]:
    """What runs the program on a machine."""
    return ["/usr/bin/python3", "-IS", PATH, *arguments]


def program_files() -> Mapping[str, FileContent]:
    """The program, by the path that it has on a machine."""
    return {PATH: FileContent(archive("lab.faults.impairment.inside.impair", MODULES))}
