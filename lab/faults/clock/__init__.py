"""The library that shifts a program's clock: compiled here, by this machine's C compiler."""

import tempfile
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from lab.deadlines import COMPILED
from lab.errors import CommandError, Unfit
from lab.programs import run

__all__ = ["PATH", "library"]

PATH = "/usr/lib/overlay-lab/clock.so"
"""On a machine."""

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""What the compiler calls what Debian calls so."""

# Position-independent, and without a C library of its own: see clock.c.
FLAGS = ("-shared", "-fPIC", "-O2", "-nostdlib", "-Wall", "-Werror")


@cache
def library(arch: str) -> bytes:
    """It, for this architecture (Debian's name). Raises `Unfit` where there is no compiler for that."""
    with tempfile.TemporaryDirectory() as folder, as_file(files(__name__) / "clock.c") as source:
        made = Path(folder) / "clock.so"
        machine = _cc("-dumpmachine").partition("-")[0]
        if machine != MACHINES.get(arch):
            raise Unfit(f"this machine's C compiler is for {machine}, and the lab's machines are {arch}")
        _cc(*FLAGS, "-o", str(made), str(source))
        return made.read_bytes()


def _cc(*arguments: str) -> str:
    try:
        done = run(["cc", *arguments], within=COMPILED.seconds)
    except FileNotFoundError:
        raise Unfit(
            "this machine has no C compiler, cc, for the library that shifts a clock",
            hint="As root, on Debian or Ubuntu: apt-get install gcc libc6-dev",
        ) from None
    if done.returncode != 0:
        raise CommandError(
            "compiling the library that shifts a clock",
            ["cc", *arguments],
            done.returncode,
            done.stderr,
            hint="A C compiler and the headers of the C library, apt-get install gcc libc6-dev, are enough.",
        )
    return done.stdout
