"""The program that a machine is asked with while a way is traced: an archive of the modules here."""

from collections.abc import Mapping

from lab.engine import FileContent
from lab.inside import archive

__all__ = ["command", "program_files"]

PATH = "/usr/lib/overlay-lab/trace.pyz"
"""On a machine."""

MODULES = {
    "lab.packet_filter": ("questions",),
    "lab.bpf": ("call", "code"),
    "lab.trace.inside": (
        "btf", "drop_program", "drops", "main", "namespaces", "probes", "rules", "state", "taps",
    ),
}  # fmt: skip


def command() -> list[str]:
    """What runs the program on a machine."""
    return ["/usr/bin/python3", "-IS", PATH]


def program_files() -> Mapping[str, FileContent]:
    """The program, by the path that it has on a machine."""
    return {PATH: FileContent(archive("lab.trace.inside.main", MODULES))}
