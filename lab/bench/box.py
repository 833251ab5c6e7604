"""The container that all of it happens in, without any network, and the agent in it."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import lock
from lab.bench.inside import FILES
from lab.confinement import SANDBOX
from lab.engine import ContainerConfig, Engine, FileContent
from lab.errors import CommandError
from lab.labels import NAME
from lab.node import Talk
from lab.node.files import daemon_files
from lab.signals import shielded

__all__ = ["Answer", "Box", "open_box"]

LONG = 30.0
"""Seconds for a command that is quick everywhere."""


class Answer(dict[str, Any]):
    """How a program ended: `exit`, `out`, `err`; with `pids`, also `before` and `after`."""

    @property
    def exit(self) -> int:
        """Its exit status; 124 when it was not done in time."""
        return int(self["exit"])

    @property
    def out(self) -> str:
        """Standard output."""
        return str(self["out"])

    @property
    def said(self) -> str:
        """Both streams."""
        return f"{self['err']}{self['out']}"


class Box:
    """The container, by way of the agent: programs are run and spawned in it."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self._container = container
        session = engine.open_exec(container, ["python3", FILES["agent"]], stdin=True)
        self._talk = Talk("the agent in the container", session)
        self._logs = 0
        self._usable = True

    def ask(self, **request: Any) -> Any:
        """Have the agent do one thing. Raises `LabError` if the agent is gone."""
        self._usable = False  # until the answer is whole: after Ctrl-C half of it may still be to come
        self._talk.say(json.dumps(request))
        answer = json.loads(self._talk.hear(float(request.get("timeout", 0)) + LONG))
        self._usable = True
        return answer

    def run(self, *argv: str, timeout: float = LONG, pids: Sequence[int] | None = None) -> Answer:
        """Run a program to its end, or for so many seconds."""
        return Answer(self.ask(run=argv, timeout=timeout, pids=pids))

    def must(self, *argv: str, timeout: float = LONG) -> str:
        """The standard output of a program that has to succeed. Raises `CommandError`."""
        done = self.run(*argv, timeout=timeout)
        if done.exit != 0:
            raise CommandError("bench", argv, done.exit, done.said)
        return done.out

    def script(self, text: str) -> None:
        """Run a shell script that has to succeed."""
        self.must("sh", "-ec", text)

    def spawn(self, *argv: str) -> tuple[int, str]:
        """Start a program; its process id, and the file that it writes to."""
        self._logs += 1
        log = f"/run/log.{self._logs}"
        return int(self.ask(spawn=argv, log=log)["pid"]), log

    def replace(self, pid: int, log: str, *argv: str) -> tuple[int, float]:
        """Kill a program with SIGKILL and start another one at once; its process id, and when (seconds)."""
        answer = self.ask(replace=pid, spawn=argv, log=log)
        return int(answer["pid"]), float(answer["at"])

    def status(self, pid: int) -> int | None:
        """The exit status of a spawned program; None while it runs."""
        status = self.ask(status=pid)["exit"]
        return None if status is None else int(status)

    def kill(self, pid: int) -> None:
        """End a spawned program, if it still runs; after a broken conversation the container ends it."""
        if self._usable:
            self.ask(kill=pid)

    def read(self, path: str) -> str:
        """A file; empty if there is none."""
        return self.run("cat", path).out

    def put(self, files: Mapping[str, FileContent]) -> None:
        """Write files; not below /run."""
        self._engine.put_files(self._container, files)


@contextmanager
def open_box(engine: Engine, image: str) -> Iterator[Box]:
    """A throw-away container of the node image with today's daemon, removed however the block ends."""
    name = f"bench-{secrets.token_hex(4)}"
    config = ContainerConfig(
        name=f"lab-{name}",
        image=image,
        labels={NAME: name},  # by which `lab gc` finds what a killed run left
        entrypoint=["/usr/bin/sleep", "infinity"],
        network="none",
        confinement=SANDBOX,
    )
    inside = Path(__file__).parent / "inside"
    programs = {path: FileContent((inside / f"{stem}.py").read_bytes()) for stem, path in FILES.items()}
    with lock.held(engine.id, name):
        try:
            with shielded():  # a container that is being made is none yet, and could not be removed
                container = engine.create(config)
            engine.put_files(container, {**daemon_files(), **programs})
            engine.start(container)
            box = Box(engine, container)
            box.must("/usr/local/sbin/lab-proc")  # or they could not forward packets
            yield box
        finally:
            with shielded():
                for item in engine.containers({NAME: name}):
                    engine.remove(item.id)
