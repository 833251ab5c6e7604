"""Build contexts: what an image is built from, as files, and the name that follows from them.

`images/NAME/` (in `lab.resources`) has a Dockerfile and files. The node's context also has python/: the
libraries of locks/node.txt, installed here for the node's Python, because a build cannot reach a package
index on every machine while the pip that made this environment can. And it has daemon/, of which the image
keeps the byte code alone: no image is stale because the daemon has changed, it only compiles a little more.
"""

import hashlib
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path

from lab import programs, resources
from lab.deadlines import DOWNLOAD
from lab.engine import FileContent
from lab.errors import CommandError, Unfit
from lab.node.files import DAEMON, daemon_files
from lab.suggest import suggest

__all__ = ["NAMES", "architecture", "digest", "machine", "recipe", "requirements", "write_context"]

NAMES = ("node", "mysql")

PYTHON = "3.13"
"""The node's: Debian trixie's."""

GLIBC_MINOR = 41
"""Debian trixie's glibc is 2.41; wheels tagged for it or an older one (PEP 600) run there."""

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Debian's and Docker's name of an architecture -> the kernel's and a wheel's."""

SOURCE_ONLY = frozenset({"etcd3"})
"""What the index has no wheel of; pure Python, so a wheel built here runs anywhere."""


def recipe(name: str, root: Traversable = resources.ROOT) -> Mapping[str, FileContent]:
    """The files that an image is made from, by their path in its build context.

    For the node also `locks/node.txt`, which python/ is made from. Raises `Unfit` if they are not there.
    """
    folder = root / "images" / name
    if not (folder / "Dockerfile").is_file():
        raise Unfit(
            f"{folder} has no Dockerfile",
            hint="This installation is not whole: install overlay-lab anew, or clone the repository anew.",
        )
    files = {path: FileContent(data, _mode(data)) for path, data in _contents(folder)}
    if name == "node":
        files["locks/node.txt"] = FileContent((root / "locks" / "node.txt").read_bytes())
    return files


def _contents(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _contents(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_bytes()


def _mode(data: bytes) -> int:
    """Programs are scripts. What a file's mode is on this machine depends on who has unpacked it."""
    return 0o755 if data.startswith(b"#!") else 0o644


def digest(files: Mapping[str, FileContent], *more: str) -> str:
    """Twelve hexadecimal digits that change when a path, a mode, a content or one of `more` does."""
    whole = hashlib.sha256()
    for path, content in sorted(files.items()):
        whole.update(f"{path}\0{content.mode:o}\0{len(content.data)}\0".encode() + content.data)
    for word in more:
        whole.update(f"\0{word}".encode())
    return whole.hexdigest()[:12]


def architecture() -> str:
    """This machine's, by Debian's name."""
    names = {machine: name for name, machine in MACHINES.items()}
    return names.get(platform.machine(), platform.machine())


def machine(arch: str) -> str:
    """A wheel's name of the architecture that Debian calls so. Raises `Unfit` where no image can be made."""
    found = MACHINES.get(arch)
    if found is None:
        raise Unfit(
            f"the lab has images for {' and '.join(MACHINES)}, and the engine's machine is {arch}",
            hint="Name another engine: DOCKER_HOST=ssh://USER@HOST",
        )
    return found


def requirements(lock: str) -> Mapping[str, str]:
    """A lock file's requirements with their hashes, by package name."""
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    return {re.split(r"[^\w.-]", entry, maxsplit=1)[0].lower(): entry for entry in entries if entry.strip()}


def write_context(name: str, directory: Path, arch: str | None = None) -> None:
    """Write an image's whole build context into a new or empty directory.

    `arch` is Debian's name of the image's architecture, by default this machine's. Needs the package
    index for the node's libraries. Raises `LabError`.
    """
    if name not in NAMES:
        raise Unfit(f"there is no image {name}{suggest(name, NAMES, 'there are')}")
    if directory.exists() and any(directory.iterdir()):
        raise Unfit(f"{directory} is not empty")
    arch = arch or architecture()
    machine(arch)
    files = {path: content for path, content in recipe(name).items() if path != "locks/node.txt"}
    if name == "node":
        files |= {path.replace(DAEMON, "daemon", 1): content for path, content in daemon_files().items()}
    for path, content in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.data)
        target.chmod(content.mode)
    if name == "node":
        lock = recipe(name)["locks/node.txt"].data.decode()
        _install_libraries(lock, directory / "python", arch)


def _install_libraries(lock: str, target: Path, arch: str) -> None:
    entries = requirements(lock)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "source.txt").write_text("".join(entries[name] for name in sorted(SOURCE_ONLY)))
        wheels = (entry for name, entry in entries.items() if name not in SOURCE_ONLY)
        (work / "wheels.txt").write_text("".join(wheels))
        built, builders = work / "built", work / "builders"
        (work / "build.txt").write_bytes((resources.ROOT / "locks" / "build.txt").read_bytes())
        # Isolated by hand: pip's own isolation would fetch a setuptools that nobody has locked.
        _pip("install", "--target", str(builders), "--no-deps", "--no-compile", "--require-hashes",
             "--requirement", str(work / "build.txt"))  # fmt: skip
        _pip("wheel", "--no-deps", "--no-build-isolation", "--require-hashes", "--wheel-dir", str(built),
             "--requirement", str(work / "source.txt"), path=builders)  # fmt: skip
        platforms = [
            f"--platform=manylinux_2_{minor}_{machine(arch)}" for minor in range(17, GLIBC_MINOR + 1)
        ]
        _pip("install", "--target", str(target), "--no-deps", "--no-compile", "--require-hashes",
             "--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON,
             *platforms, f"--platform=manylinux2014_{machine(arch)}",
             "--requirement", str(work / "wheels.txt"))  # fmt: skip
        _pip("install", "--target", str(target), "--no-deps", "--no-compile", "--no-index",
             *(str(wheel) for wheel in sorted(built.iterdir())))  # fmt: skip
    # Python 3 needs no such hook for a namespace package, and would run it at every start.
    for hook in target.glob("*-nspkg.pth"):
        hook.unlink()


def _pip(command: str, *arguments: str, path: Path | None = None) -> None:
    """Run this environment's pip, with whatever configuration its user gave it; `path` goes first there."""
    argv: Sequence[str] = (
        sys.executable, "-m", "pip", command, "--quiet", "--no-input", "--disable-pip-version-check",
        *arguments,
    )  # fmt: skip
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    done = programs.run(argv, within=DOWNLOAD.seconds, environment=environment)
    if done.returncode != 0:
        raise CommandError(
            "installing the node's libraries",
            argv,
            done.returncode,
            done.stdout + done.stderr,
            hint="pip uses your configuration: see `pip config list` and the PIP_ variables.",
        )
