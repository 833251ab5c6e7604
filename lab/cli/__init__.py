"""The command `lab`: verbs, one thin function each. Only `main` turns errors into an exit status."""

from lab.cli.main import main

__all__ = ["main"]
