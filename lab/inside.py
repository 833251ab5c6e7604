"""Programs that run on machines of the lab, made from our own modules; most use Python's library alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

__all__ = ["Installed", "program"]

PYTHON = ("/usr/bin/python3", "-IS")
"""-S: to look for what is installed besides Python's library takes nearly as long as Python's own start."""

FOLDER = "/usr/lib/overlay-lab"
"""Where a machine has our programs."""

MAIN = """\
import sys

from {main} import main

sys.exit(main(sys.argv[1:]))
"""


def program(folder: ModuleType, name: str, *arguments: str, packages: bool = False) -> list[str]:
    """The command that runs a module of a folder `inside` on a machine: it is passed as text.

    `packages`: it needs some that the machine has installed, such as PyMySQL.
    """
    return [PYTHON[0], "-I" if packages else PYTHON[1], "-c", _source(folder, name), *arguments]


def _source(package: ModuleType, name: str) -> str:
    return (Path(*package.__path__) / f"{name}.py").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Installed:
    """A program of several modules that every machine has as a folder, under the names that they have here.

    Python runs the folder by its `__main__.py` and finds modules in it, also with -I. It leaves them compiled
    there, which it could not do in an archive: to compile them takes longer than what most are asked for.
    """

    name: str
    """The folder's."""

    main: str
    """The module whose `main` takes the arguments, and returns the exit status."""

    modules: Mapping[str, Iterable[str]]
    """By package. The packages above are empty there: here, they also import what a machine does not have."""

    @property
    def folder(self) -> str:
        """Its path on a machine."""
        return f"{FOLDER}/{self.name}"

    def command(self, *arguments: str) -> list[str]:
        """What runs it on a machine."""
        return [*PYTHON, self.folder, *arguments]

    def texts(self) -> Mapping[str, str]:
        """Its files, by the path that each has on a machine."""
        found = {"__main__.py": MAIN.format(main=self.main)}
        for package, names in self.modules.items():
            parts = package.split(".")
            found |= {f"{'/'.join(parts[:depth])}/__init__.py": "" for depth in range(1, len(parts) + 1)}
            for name in names:
                found[f"{'/'.join(parts)}/{name}.py"] = _source(import_module(package), name)
        return {f"{self.folder}/{path}": text for path, text in found.items()}
