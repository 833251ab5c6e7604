"""Programs that run on a machine of the lab, which has them as files: the standard library alone."""

import secrets
from collections.abc import Mapping
from importlib.resources import files

from lab.engine import FileContent

__all__ = ["VARIABLE", "mark", "program_files", "supervised"]

FOLDER = "/usr/lib/overlay-lab"
"""On a machine."""

VARIABLE = "LAB_EXEC"
"""In the environment of a command that somebody may want ended: a mark by which all of it is found."""


def mark() -> str:
    """A new one."""
    return secrets.token_hex(8)


def supervised(own: str, *argv: str) -> list[str]:
    """The command with that mark, under supervision; without a command, what ends all that bears the mark."""
    return ["/usr/bin/python3", "-IS", f"{FOLDER}/supervise.py", f"{VARIABLE}={own}", *argv]


def program_files() -> Mapping[str, FileContent]:
    """The programs, by the path that each has on a machine."""
    source = files(__name__).joinpath("supervise.py").read_bytes()
    return {f"{FOLDER}/supervise.py": FileContent(source)}
