"""The container, made from the node image with today's daemon in it, and the conversation with its agent."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lab import lock
from lab.confinement import SANDBOX
from lab.deadlines import SANDBOX_COMMAND
from lab.engine import ContainerConfig, Engine, FileContent
from lab.errors import CommandError, LabError
from lab.labels import NAME
from lab.node import Talk
from lab.node.files import daemon_files
from lab.sandbox.inside import agent
from lab.signals import shielded

__all__ = ["Answer", "Box", "open_box", "start_box"]


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
    """The container, by way of the agent: programs are run and started in it."""

    def __init__(self, engine: Engine, container: str, name: str = "") -> None:
        """`name` is its engine's, where there are several."""
        self._engine = engine
        self._container = container
        where = f" on the engine {name}" if name else ""
        self._talk = Talk(
            f"the agent in the container{where}", engine.open_exec(container, agent(), stdin=True)
        )
        self._logs = 0
        self._usable = True

    def ask(self, **request: Any) -> Any:
        """Have the agent do one thing. Raises `LabError` if it cannot, or is gone."""
        self._usable = False  # until the answer is whole: after Ctrl-C half of it may still be to come
        self._talk.say(json.dumps(request))
        answer = json.loads(self._talk.hear(float(request.get("timeout", 0)) + SANDBOX_COMMAND.seconds))
        self._usable = True
        if "error" in answer:
            raise LabError(f"in the sandbox: {request}: {answer['error']}")
        return answer

    def run(
        self,
        *argv: str,
        timeout: float | None = None,
        pids: Sequence[int] | None = None,
        netns: str = "",
        given: str = "",
    ) -> Answer:
        """Run a program to its end, or for so many seconds; in a network namespace, as `ip -n` is.

        `given` is its standard input.
        """
        seconds = SANDBOX_COMMAND.seconds if timeout is None else timeout
        return Answer(self.ask(run=argv, timeout=seconds, pids=pids, netns=netns, input=given))

    def must(self, *argv: str, timeout: float | None = None) -> str:
        """The standard output of a program that has to succeed. Raises `CommandError`."""
        done = self.run(*argv, timeout=timeout)
        if done.exit != 0:
            raise CommandError("sandbox", argv, done.exit, done.said)
        return done.out

    def script(self, text: str) -> None:
        """Run a shell script that has to succeed."""
        self.must("sh", "-ec", text)

    def spawn(self, *argv: str) -> tuple[int, str]:
        """Start a program; its process id, and the file that it writes to."""
        log = self._log()
        return int(self.ask(spawn=argv, log=log)["pid"]), log

    def load(self, package: str, folder: str) -> None:
        """Have the agent import a Python package, for programs that are forked from it."""
        self.ask(load=package, path=folder, timeout=SANDBOX_COMMAND.seconds)

    def fork(self, *argv: str, netns: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Start a program of Python, by its path, as `spawn` does; what is loaded it need not import."""
        log = self._log()
        return int(self.ask(fork=argv, log=log, err="", netns=netns, env=dict(env or {}))["pid"]), log

    def run_forked(self, *argv: str, timeout: float, netns: str = "") -> Answer:
        """Run a program of Python to its end, or for so many seconds, that need not import what is loaded."""
        log, err = self._log(), self._log()
        pid = int(self.ask(fork=argv, log=log, err=err, netns=netns, env={})["pid"])
        status = self.ends(pid, timeout)
        self.clear([pid])
        return Answer(exit=124 if status is None else status, out=self.read(log), err=self.read(err))

    def post(self, to: str, path: str, body: str) -> tuple[int, str]:
        """Ask an HTTP server that can be reached from the container; status and body of its answer."""
        answer = self.ask(post=path, to=to, body=body, timeout=SANDBOX_COMMAND.seconds)
        return int(answer["status"]), str(answer["text"])

    def _log(self) -> str:
        self._logs += 1
        return f"/run/log.{self._logs}"

    def replace(self, pid: int, log: str, *argv: str) -> tuple[int, float]:
        """Kill a program with SIGKILL and start another one at once; its process id, and when (seconds)."""
        answer = self.ask(replace=pid, spawn=argv, log=log)
        return int(answer["pid"]), float(answer["at"])

    def status(self, pid: int) -> int | None:
        """The exit status of a program that was started; None while it runs."""
        return _status(self.ask(status=pid))

    def ends(self, pid: int, timeout: float) -> int | None:
        """The same, waited for; None if it still runs after so many seconds."""
        return _status(self.ask(ends=pid, timeout=timeout))

    def says(self, log: str, text: str, times: int, timeout: float) -> str | None:
        """Wait until a file has a text so many times; None, or all that it has after so many seconds."""
        answer = self.ask(says=log, text=text, times=times, timeout=timeout)
        return None if answer["said"] else str(answer["log"])

    def signal(self, pid: int, name: str) -> None:
        """Send a signal, `TERM` say; after `STOP` the process stands."""
        self.ask(signal=name, pid=pid)

    def kill(self, pid: int) -> None:
        """End a program, if it still runs; after a broken conversation the container ends it."""
        if self._usable:
            self.ask(kill=pid)

    def clear(self, pids: Sequence[int]) -> None:
        """End programs with what they have started, and forget them."""
        self.ask(clear=pids)

    def read(self, path: str) -> str:
        """A file; empty if there is none."""
        return self.find(path) or ""

    def find(self, path: str) -> str | None:
        """A file; None if there is none."""
        text = self.ask(read=path)["text"]
        return None if text is None else str(text)

    def clock(self) -> Mapping[str, Any]:
        """What its clocks show: `boot`, `at` (CLOCK_BOOTTIME) and `wall`."""
        return dict(self.ask(clock=True))

    def machine(self) -> Mapping[str, str]:
        """The machine that it is on, for whoever measures: kernel and processors."""
        cpus = self.must("cat", "/proc/cpuinfo").splitlines()
        models = [line.partition(":")[2].strip() for line in cpus if line.startswith("model name")]
        return {
            "kernel": self.must("uname", "-sr").strip(),
            "processors": f"{self.must('nproc').strip()} x {models[0] if models else 'unknown'}",
        }

    def end(self) -> None:
        """End the conversation, and with it the agent."""
        self._talk.end(SANDBOX_COMMAND.seconds)

    def put(self, files: Mapping[str, FileContent]) -> None:
        """Write files; not below /run."""
        self._engine.put_files(self._container, files)


def _status(answer: Mapping[str, Any]) -> int | None:
    return None if answer["exit"] is None else int(answer["exit"])


@contextmanager
def open_box(
    engine: Engine, image: str, kind: str, files: Mapping[str, FileContent] | None = None
) -> Iterator[Box]:
    """A throw-away container of the node image with today's daemon and more, removed however the block ends.

    It is named for what it is made for: `bench` or `test`.
    """
    name = f"{kind}-{secrets.token_hex(4)}"
    config = ContainerConfig(
        name=f"lab-{name}",
        image=image,
        labels={NAME: name},  # by which `lab gc` finds what a killed run left
        entrypoint=["/usr/bin/sleep", "infinity"],
        confinement=SANDBOX,
    )
    with lock.held(engine.id, name):
        try:
            with shielded():  # a container that is being made is none yet, and could not be removed
                container = engine.create(config)
            yield start_box(engine, container, files)
        finally:
            with shielded():
                for item in engine.containers({NAME: name}):
                    engine.remove(item.id)


def start_box(
    engine: Engine, container: str, files: Mapping[str, FileContent] | None = None, *, name: str = ""
) -> Box:
    """Start a container that was made for this; who made it removes it. `name` as of `Box`."""
    engine.put_files(container, {**daemon_files(), **(files or {})})
    engine.start(container)
    box = Box(engine, container, name)
    box.must("/usr/local/sbin/lab-proc")  # or they could not forward packets
    return box
