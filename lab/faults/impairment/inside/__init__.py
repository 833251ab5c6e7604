"""The program that runs on a node: an archive of a few of our modules, which need Python's library alone."""

import io
import zipfile
from collections.abc import Mapping
from importlib.resources import files

from lab.engine import FileContent

__all__ = ["command", "program_files"]

PATH = "/usr/lib/overlay-lab/impair.pyz"
"""On a machine."""

MAIN = """\
import sys

from lab.faults.impairment.inside.impair import main

sys.exit(main(sys.argv[1:]))
"""

PACKAGES = ("lab", "lab.faults", "lab.faults.impairment", "lab.faults.impairment.inside")
"""Empty in the archive: here, they also import what the node does not have."""

CORE = ("evidence", "line", "model", "pipeline", "plan", "seen", "selector", "status", "units", "xdp")
INSIDE = ("bpf", "delay_line", "impair", "kernel", "perform", "records", "tap", "verbs")
MODULES = {
    "lab": ("errors",),
    "lab.faults.impairment": CORE,
    "lab.faults.impairment.inside": INSIDE,
}

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can tell: the archive is the same whenever it is made."""


def command(*arguments: str) -> list[str]:
    """What runs the program on a machine."""
    return ["/usr/bin/python3", "-IS", PATH, *arguments]


def program_files() -> Mapping[str, FileContent]:
    """The program, by the path that it has on a machine."""
    texts = {"__main__.py": MAIN}
    texts |= {f"{package.replace('.', '/')}/__init__.py": "" for package in PACKAGES}
    for package, names in MODULES.items():
        for name in names:
            text = files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")
            texts[f"{package.replace('.', '/')}/{name}.py"] = text
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, text in texts.items():
            packed.writestr(zipfile.ZipInfo(path, EPOCH), text, zipfile.ZIP_DEFLATED)
    return {PATH: FileContent(archive.getvalue())}
