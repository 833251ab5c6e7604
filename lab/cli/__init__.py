"""The command `lab`: verbs, one thin function each. Only `group.run` turns errors into an exit status."""

from lab.cli.entry import main

__all__ = ["main"]
