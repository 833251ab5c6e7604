"""The program that makes, shows and ends faults on a machine of the lab: the standard library alone.

A machine has these modules as files, below FOLDER, under the names that they have here.
"""

from collections.abc import Mapping
from importlib.resources import files

from lab.engine import FileContent

__all__ = ["argv", "program_files"]

FOLDER = "/usr/lib/overlay-lab/faults"
"""On a machine. Python runs a folder by its `__main__.py`, and then finds modules in it, also with -I."""


def argv(verb: str, request: str) -> list[str]:
    """The command that asks a machine; the request is JSON."""
    return ["/usr/bin/python3", "-IS", FOLDER, verb, request]


def program_files() -> Mapping[str, FileContent]:
    """The modules, by the path that each has on a machine."""
    found: dict[str, FileContent] = {}
    for module in files(__name__).iterdir():
        if module.name.endswith(".py") and module.name != "__init__.py":
            content = FileContent(module.read_bytes())
            folder = FOLDER if module.name == "__main__.py" else f"{FOLDER}/{__name__.replace('.', '/')}"
            found[f"{folder}/{module.name}"] = content
    return found
