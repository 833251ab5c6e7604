"""Programs that run on machines of the lab, made from our own modules; they use only Python's library."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from importlib.resources import files
from types import ModuleType

__all__ = ["archive", "program"]

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can tell: the archive is the same whenever it is made."""

MAIN = """\
import sys

from {main} import main

sys.exit(main(sys.argv[1:]))
"""


def program(folder: ModuleType, name: str, *arguments: str) -> list[str]:
    """The command that runs a module of a folder `inside` on a machine: it is passed as text."""
    source = files(folder).joinpath(f"{name}.py").read_text(encoding="utf-8")
    return ["/usr/bin/python3", "-c", source, *arguments]


def archive(main: str, modules: Mapping[str, Iterable[str]]) -> bytes:
    """A program of several modules, by package, that Python runs as one file; it calls that module's `main`.

    The packages above are empty in it: here, they also import what a machine does not have.
    """
    texts = {"__main__.py": MAIN.format(main=main)}
    for package, names in modules.items():
        parts = package.split(".")
        texts |= {f"{'/'.join(parts[:depth])}/__init__.py": "" for depth in range(1, len(parts) + 1)}
        for name in names:
            source = files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")
            texts[f"{'/'.join(parts)}/{name}.py"] = source
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for path, text in texts.items():
            file.writestr(zipfile.ZipInfo(path, EPOCH), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
