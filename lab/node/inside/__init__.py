"""Programs that run on a machine of the lab, which has them as files: the standard library alone."""

import secrets

from lab.inside import Installed

__all__ = ["PROGRAM", "VARIABLE", "mark", "supervised"]

PROGRAM = Installed("supervise", f"{__name__}.supervise", {__name__: ("supervise",)})

VARIABLE = "LAB_EXEC"
"""In the environment of a command that somebody may want ended: a mark by which all of it is found."""


def mark() -> str:
    """A new one."""
    return secrets.token_hex(8)


def supervised(own: str, *argv: str) -> list[str]:
    """The command with that mark, under supervision; without a command, what ends all that bears the mark."""
    return PROGRAM.command(f"{VARIABLE}={own}", *argv)
