"""Ends a command whose output nobody reads any more, as a pipe's writers are ended: by SIGPIPE.

The engine goes on reading what a command prints when its client has gone away, so that nothing tells the
command. This file runs on a machine of the lab and imports nothing of ours: `python3 -c TEXT MARK`. MARK is
what the command has in its environment as `LAB_EXEC`.
"""

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "LAB_EXEC"
OUTPUTS = (1, 2)


@dataclass(frozen=True)
class Process:
    """A process, as proc(5) shows it."""

    pid: int
    parent: int
    marked: bool
    outputs: frozenset[str]
    """What its standard output and error are, such as `pipe:[4711]`."""
    heeds_pipe: bool
    """Whether SIGPIPE does what it does by default: end it."""


def look(mark: str) -> list[Process]:
    """Every process, except this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):  # it has ended
                found.append(_process(folder, f"{VARIABLE}={mark}".encode()))
    return found


def _process(folder: Path, mark: bytes) -> Process:
    marked = mark in (folder / "environ").read_bytes().split(b"\0")
    lines = (folder / "status").read_text(errors="replace").splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    outputs = set()
    for descriptor in OUTPUTS:
        with suppress(FileNotFoundError):  # it has closed that one
            outputs.add(str((folder / "fd" / str(descriptor)).readlink()))
    minded = int(status["SigIgn"], 16) | int(status["SigCgt"], 16)
    heeds_pipe = not minded >> (signal.SIGPIPE - 1) & 1
    return Process(int(folder.name), int(status["PPid"]), marked, frozenset(outputs), heeds_pipe)


def writers(processes: list[Process]) -> list[Process]:
    """Those that print where the marked command does.

    Of a pod's command there are two: the `docker exec` on the machine, and what that has had started, which
    is not its child. A command's children print there too, unless sent elsewhere; so does whoever has the
    same pipe. Terminals may share a name, so there only what is marked counts.
    """
    marked = {item.pid for item in processes if item.marked}
    first = [item for item in processes if item.marked and item.parent not in marked]
    ours = {output for item in first for output in item.outputs if output.startswith(("pipe:", "/dev/pts/"))}
    pipes = {output for output in ours if output.startswith("pipe:")}
    return [item for item in processes if item.outputs & (ours if item.marked else pipes)]


def hang_up(mark: str) -> None:
    """Tell each of them once; SIGTERM where SIGPIPE is not heeded, which would have seen an error."""
    told: set[int] = set()
    while new := [item for item in writers(look(mark)) if item.pid not in told]:
        for item in new:
            told.add(item.pid)
            with suppress(ProcessLookupError):
                os.kill(item.pid, signal.SIGPIPE if item.heeds_pipe else signal.SIGTERM)


if __name__ == "__main__":
    hang_up(sys.argv[1])
