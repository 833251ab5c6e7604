"""The program that makes, shows and ends faults on a machine of the lab: the standard library alone.

A machine has these modules as files, below FOLDER, under the names that they have here. And its services take
variables from files that a fault may write (`clocks`).
"""

from collections.abc import Mapping
from importlib.resources import files

from lab.engine import FileContent

__all__ = ["argv", "program_files"]

FOLDER = "/usr/lib/overlay-lab/faults"
"""On a machine. Python runs a folder by its `__main__.py`, and then finds modules in it, also with -I."""

# Of every service (systemd.unit(5)). So systemd need not read all units again when a fault begins or ends,
# which takes long, and would have it heed whatever else has changed on disk.
VARIABLES = {
    "/etc/systemd/system/service.d/lab-fault.conf": "[Service]\nEnvironmentFile=-/run/lab-fault/%n.env\n"
}


def argv(verb: str, request: str) -> list[str]:
    """The command that asks a machine; the request is JSON."""
    return ["/usr/bin/python3", "-IS", FOLDER, verb, request]


def program_files() -> Mapping[str, FileContent]:
    """The files, by the path that each has on a machine."""
    found = {path: FileContent(text.encode()) for path, text in VARIABLES.items()}
    suggest = files("lab").joinpath("suggest.py").read_bytes()
    found[f"{FOLDER}/lab/suggest.py"] = FileContent(suggest)
    for module in files(__name__).iterdir():
        if module.name.endswith(".py") and module.name != "__init__.py":
            content = FileContent(module.read_bytes())
            folder = FOLDER if module.name == "__main__.py" else f"{FOLDER}/{__name__.replace('.', '/')}"
            found[f"{folder}/{module.name}"] = content
    return found
