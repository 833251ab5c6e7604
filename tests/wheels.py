"""The source distribution and the wheel, and an environment that has nothing of the clone."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from tests.sources import ROOT

LEFT_OUT = (".*", "build", "dist", "*.egg-info", "__pycache__", "*.o")


def run(*argv: str | Path, at: Path) -> None:
    done = subprocess.run(argv, cwd=at, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def copy_of_the_clone(target: Path) -> Path:
    """What a fresh clone has: the build leaves its own things where it works."""
    return shutil.copytree(ROOT, target, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))


def built(kind: str, source: Path, target: Path) -> Path:
    """A `wheel` or an `sdist` of a folder, by the hook that pip and build call, with the setuptools here."""
    target.mkdir()
    program = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    run(sys.executable, "-c", program, target, at=source)
    (archive,) = target.iterdir()
    return archive


def sdist(folder: Path) -> Path:
    return built("sdist", copy_of_the_clone(folder / "clone"), folder / "dist")


def wheel(source: Path, folder: Path) -> Path:
    """Made of a source distribution."""
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    return built("wheel", folder / source.name.removesuffix(".tar.gz"), folder / "dist")


def environment(folder: Path, archive: Path) -> Path:
    """A new one with that wheel alone, which borrows its dependencies from the one that runs the tests.

    Its own packages come first, and what is installed here as a link to the clone is not followed: a `.pth`
    file counts in the folder alone that Python itself looks into. The path of its programs.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder, at=folder.parent)
    python = folder / "bin" / "python"
    options = ("--quiet", "--no-deps", "--no-index")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, archive, at=folder.parent)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"
