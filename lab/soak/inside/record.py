"""Writes down what this machine shows, with the time: what commands print, files hold and URLs answer.

Argument: {"out": PATH, "commands": {NAME: ARGV}, "watches": {NAME: PREFIX}, "files": {NAME: PATH}, "urls":
{NAME: URL}, "shift": SECONDS}. The file at `out` gets lines of JSON: [MONOTONIC, NAME, TEXT]. Of a command
that is each line that it prints, and of a file or a URL what is there, whenever that is something else than
before; null where a file or an answer is missing. A command that ends is begun anew. A watch is the command
`etcdctl watch` of the keys below a prefix, from now on; begun anew it goes on where it was. Times are of
CLOCK_MONOTONIC with the shift added, which makes it everybody's.

It prints {"ready": true} once it writes, {"now": MONOTONIC} when it is given a line, and {"left_out": N}
when it is given an empty one, or no more, and ends. The file outlives it, as when this machine reboots.
"""

import ctypes
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

EVERY = 0.1
"""Seconds between two looks at a file or a URL, and until a command is begun anew."""

PATIENCE = 1.0
"""Seconds for a URL to answer."""

MOST = 20_000
"""Lines; those after them are counted."""

JSON = "--write-out=json"

PR_SET_PDEATHSIG = 1
"""linux/prctl.h."""


class Heard(Protocol):
    """What takes what commands print."""

    def write(self, name: str, text: str) -> None:
        """A line that the command of this name has printed."""


class Record:
    """The file."""

    def __init__(self, file: IO[str], shift: float = 0.0) -> None:
        self._file = file
        self._shift = shift
        self._lock = threading.Lock()
        self._lines = 0

    @property
    def left_out(self) -> int:
        """How many lines did not fit."""
        return max(0, self._lines - MOST)

    def write(self, name: str, text: str | None) -> None:
        """One line."""
        with self._lock:
            self._lines += 1
            if self._lines <= MOST:
                self._file.write(json.dumps([time.monotonic() + self._shift, name, text]) + "\n")
                self._file.flush()


def end_with_this() -> None:
    """A command ends when this program does, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


Watching = Callable[[int | None], list[str]]
"""The command that tells what becomes of keys from this revision on, or from now on."""

After = Callable[[str], int | None]


class Commands:
    """Those that run."""

    def __init__(self, record: Heard, over: threading.Event, again: float = EVERY) -> None:
        """`again`: seconds until one that has ended is begun anew."""
        self._record = record
        self._over = over
        self._again = again
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._lock = threading.Lock()

    def follow(self, name: str, argv: list[str]) -> None:
        """Write down what a command prints, until it is over."""
        while (process := self._begin(name, argv)) is not None:
            for _ in self._written(name, process):
                pass

    def watch(self, name: str, watching: Watching, first: int | None, after: After) -> None:
        """Write down what becomes of keys from this revision on, or from now on, until it is over.

        A watch ends where its user cannot have another token, as at times while etcd restarts. `after` tells
        the revision that comes after a line; None where it tells none.
        """
        while (process := self._begin(name, watching(first))) is not None:
            for text in self._written(name, process):
                first = after(text) or first

    def _written(self, name: str, process: "subprocess.Popen[str]") -> Iterator[str]:
        """Each line that is written down; at the end there is time for another begin."""
        with process:
            for line in process.stdout or ():
                if text := line.rstrip():
                    self._record.write(name, text)
                    yield text
        self._over.wait(self._again)

    def _begin(self, name: str, argv: list[str]) -> "subprocess.Popen[str] | None":
        with self._lock:
            if self._over.is_set():
                return None
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                preexec_fn=end_with_this,
            )
            self._running[name] = process
            return process

    def end(self) -> None:
        """Kill them; none is begun again."""
        with self._lock:
            self._over.set()
            for process in self._running.values():
                process.kill()


def watching(prefix: str, first: int | None) -> list[str]:
    """The command that watches the keys below a prefix."""
    argv = ["etcdctl", "watch", "--prefix", prefix, JSON]
    return [*argv, f"--rev={first}"] if first else argv


def ended(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    """A command that has come to its end."""
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        preexec_fn=end_with_this,
    )


def upcoming(prefix: str) -> int | None:
    """The revision that etcd will have next; None where it does not say."""
    done = ended(["etcdctl", "get", "--prefix", "--limit=1", prefix, JSON])
    try:
        return int(json.loads(done.stdout)["header"]["revision"]) + 1
    except (ValueError, LookupError, TypeError):
        return None


def following(text: str) -> int | None:
    """The revision that comes after a line of a watch; None where the line tells none.

    Of a watch that asks for what was compacted, that is the first of which there is something left.
    """
    try:
        told = json.loads(text)
        after = [event["kv"]["mod_revision"] + 1 for event in told["Events"] or ()]
        return max(after, default=told["CompactRevision"]) or None
    except (ValueError, LookupError, TypeError):
        return None


def look(record: Record, over: threading.Event, name: str, ask: Callable[[], str | None]) -> None:
    """Write down what is seen whenever it is something else."""
    before: object = ask  # which no answer is
    while not over.is_set():
        if (seen := ask()) != before:
            record.write(name, seen)
            before = seen
        over.wait(EVERY)


def content(path: str) -> str | None:
    """A file's text."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def answer(url: str) -> str | None:
    """Status and text."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as said:  # noqa: S310 - the lab says which
            return f"{said.status} {said.read().decode(errors='replace').strip()}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode(errors='replace').strip()}"
    except (OSError, ValueError):
        return None


def main(asked: Mapping[str, Any]) -> None:
    """Write from the beginning to an empty line."""
    over = threading.Event()
    # Before it is ready: nothing of what follows is to be missed, however long a watch takes to begin.
    watches = [
        (name, partial(watching, prefix), upcoming(prefix), following)
        for name, prefix in asked["watches"].items()
    ]
    with Path(asked["out"]).open("w", encoding="utf-8") as file:
        record = Record(file, asked["shift"])
        commands = Commands(record, over)
        looks = [(name, lambda path=path: content(path)) for name, path in asked["files"].items()]
        looks += [(name, lambda url=url: answer(url)) for name, url in asked["urls"].items()]
        tasks = [threading.Thread(target=look, args=(record, over, *each)) for each in looks]
        tasks += [threading.Thread(target=commands.follow, args=each) for each in asked["commands"].items()]
        tasks += [threading.Thread(target=commands.watch, args=each) for each in watches]
        for task in tasks:
            task.start()
        say({"ready": True})
        if sys.stdin.readline().strip():
            say({"now": time.monotonic() + asked["shift"]})
            while sys.stdin.readline().strip():
                pass
        commands.end()
        for task in tasks:
            task.join()
        say({"left_out": record.left_out})


def say(value: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
