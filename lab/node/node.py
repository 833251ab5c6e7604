"""One machine of a lab: commands and files in its container."""

import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from lab import labels, threads, wait
from lab.deadlines import COMMAND, JOINED, UNIT_STARTS
from lab.engine import STDERR, Command, Container, Ended, Engine, Exec, ExecResult
from lab.errors import CommandError, LabError, NoAnswer
from lab.naming import name_option
from lab.node.inside import VARIABLE, mark, supervised
from lab.node.journal import telling
from lab.node.running import Running
from lab.node.services import Service, parse_failed, parse_services, show_argv

__all__ = ["Node", "Talk"]

T = TypeVar("T")

FIRST_LOOK = 1.0
"""Seconds without an answer after which the engine is asked whether the machine is paused; then twice as
many."""

SPAN = 300
"""Lines of a log, in which those that tell are sought: a usage text has more than a hundred."""

REST = 4
"""So many times as long as a look at what holds a unit up took, no other look follows: on a slow machine
looks take as much as what they look at."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that stands, as a container of the engine."""

    engine: Engine
    container: Container
    address: IPv4Address | IPv6Address

    @property
    def name(self) -> str:
        """Its host name."""
        return self.container.labels[labels.NODE]

    @property
    def lab(self) -> str:
        """The name of its lab."""
        return self.container.labels[labels.NAME]

    @property
    def services(self) -> tuple[str, ...]:
        """What it runs."""
        return labels.services(self.container.labels)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: bytes | None = None,
        within: float | None = None,
    ) -> ExecResult:
        """Run a command on the machine to its end. Raises `CommandError` on failure if `check`.

        Raises `NoAnswer` when it has not ended within so many seconds, by default those of COMMAND; then it
        is killed with its children.
        """
        seconds = COMMAND.seconds if within is None else within
        (ended,) = self.run_each({"": Command(argv, stdin)}, within=seconds).values()
        if ended.late == "much":
            raise LabError(
                f"{self.name}: more than 64 MiB was printed by: {self.pasted(argv, stdin=stdin is not None)}",
                hint="That takes what it prints as it comes; or have it write a file there.",
            )
        if ended.late:
            raise NoAnswer(self.name, self.pasted(argv, stdin=stdin is not None), seconds)
        result = ExecResult(ended.exit_code, ended.stdout, ended.stderr)
        if check and result.exit_code != 0:
            raise self.failure(argv, result, stdin=stdin is not None)
        return result

    def pasted(self, argv: Sequence[str], *, stdin: bool = False) -> str:
        """The command line that runs this here, for an error or a hint."""
        interactive = " -i" if stdin else ""
        return f"lab exec{interactive}{name_option(self.lab)} {self.name} -- {shlex.join(argv)}"

    def failure(
        self, argv: Sequence[str], result: ExecResult, *, stdin: bool = False, doing: str = ""
    ) -> CommandError:
        """The error to raise for a command that has failed; `doing` is what it was for."""
        given = " Its standard input came from lab, and is to be given anew." if stdin else ""
        return CommandError(
            f"{doing} on {self.name}" if doing else self.name,
            argv,
            result.exit_code,
            result.output,
            pasted=self.pasted(argv, stdin=stdin),
            hint=f"That runs it again.{given} The machine's log: lab logs{name_option(self.lab)} {self.name}",
        )

    def run_each(self, commands: Mapping[str, Command], *, within: float) -> Mapping[str, Ended]:
        """Run commands at the same time, each to its end; what is late is killed with its children.

        Raises `NoAnswer` when even that is not told, and `LabError` when the machine stands still or has
        ended.
        """
        began, look_after = time.monotonic(), FIRST_LOOK

        def heed() -> None:
            nonlocal look_after
            if time.monotonic() - began >= look_after:
                look_after *= 2
                self._refuse_if_paused()

        try:
            return self.engine.run(self.container.id, commands, within, heed)
        except threads.Late as error:
            raise NoAnswer(self.name, self._named(commands), within) from error

    def _named(self, commands: Mapping[str, Command]) -> str:
        """What stands for them in a message: one command as it is, of several their number."""
        (first, *others) = commands.values()
        if others:
            return f"{len(commands)} commands"
        return self.pasted(first.argv, stdin=first.stdin is not None)

    def _refuse_if_paused(self) -> None:
        """Raise `LabError` if the machine stands still, as the engine does for a command of its own."""
        try:
            found = self.engine.containers({labels.NAME: self.lab, labels.NODE: self.name})
        except LabError:  # of the engine, which may be busy: the command may be well
            return
        for container in found:
            if container.state == "paused":
                raise LabError(f"{self.name} stands still: its container is paused")

    def open(self, argv: Sequence[str], *, stdin: bool = False) -> Running:
        """Start a command that goes on; nothing of it goes on running when the context of that is left."""
        own = mark()
        session = self.engine.open_exec(
            self.container.id, supervised(own, *argv), stdin=True, environment={VARIABLE: own}
        )
        running = Running(self.name, argv, session)
        if not stdin:
            running.end_input()
        return running

    def converse(self, argv: Sequence[str]) -> "Talk":
        """Start a command to talk with; it has to end when it reads an empty line, or no more."""
        return Talk(f"{argv[0]} on {self.name}", self.engine.open_exec(self.container.id, argv, stdin=True))

    def start_service(self, unit: str, *, cancel: threading.Event | None = None) -> None:
        """Wait until systemd has started a unit, whose start may already be under way.

        Raises `TimedOut` with the unit's last log lines when it does not come up in time, and
        `LabError` at once when it, or the whole machine, has failed.
        """

        took = 0.0  # the last look, in seconds

        def started() -> bool | wait.NotYet:
            # Joins a start job that is queued already. 124 is timeout(1)'s: the job is still waiting.
            joined = max(JOINED.seconds, REST * took)
            result = self.run(["timeout", f"{joined:g}", "systemctl", "start", unit], check=False)
            return True if result.exit_code == 0 else look(result)

        def look(result: ExecResult) -> wait.NotYet:
            nonlocal took
            began = time.monotonic()
            if failed := self.failed_units(waits=result.exit_code == 124):
                raise LabError(
                    f"{self.name}: {unit} cannot start, because {', '.join(failed)} failed\n"
                    + "\n".join(self._last_words(name) for name in failed)
                )
            if result.exit_code not in (0, 124):
                self._refuse_what_cannot_be(unit, result.output)
            if result.exit_code == 124:
                held_up = self._held_up(unit)
                took = time.monotonic() - began
                return wait.NotYet(held_up)
            # The bus answers only some 0.3 s after the container's start.
            return wait.NotYet(result.output.strip() or f"{unit} is not started yet")

        try:
            wait.until(started, what=f"{unit} on {self.name}", timeout=UNIT_STARTS.seconds, cancel=cancel)
        except LabError as error:
            self._tell_its_end(error)
            raise

    def _refuse_what_cannot_be(self, unit: str, said: str) -> None:
        """Raise `LabError` if systemd has no such unit, or cannot make sense of it."""
        asked = ["systemctl", "show", "--property=LoadState", "--value", "--", unit]
        state = self.run(asked, check=False).text.strip()
        if state in {"not-found", "bad-setting", "masked", "error"}:
            words = "\n".join(filter(None, (said.strip(), self._last_words(unit))))
            raise LabError(f"{self.name}: {unit} cannot be started (systemd says {state})\n{words}")

    def _tell_its_end(self, error: LabError) -> None:
        """Raise `LabError` with what the machine has said, if it has ended."""
        for found in self.engine.containers({labels.NAME: self.lab, labels.NODE: self.name}):
            if found.state != "running":
                said = telling(self.engine.container_logs(self.container.id, SPAN)) or "it said nothing"
                raise LabError(f"{self.name} has ended ({found.status}): {said}") from error

    def _held_up(self, unit: str) -> str:
        """What a service that is being started waits for: on a minion everything waits for flanneld."""
        services = parse_services(self.services, self.run(show_argv(self.services), check=False).text)
        late = next((service for service in services if not service.ok), Service(unit, "unknown"))
        return f"{late.waiting()}\n{self._last_words(late.unit)}".rstrip()

    def _last_words(self, unit: str) -> str:
        """What a service has said of what is wrong with it."""
        self.run(["journalctl", "--sync"], check=False)  # it may be on its way to the journal yet
        lines = telling(self.journal(unit, SPAN)).splitlines()
        return "\n".join(f"{unit.removesuffix('.service')}: {line}" for line in lines)

    def failed_units(self, *, waits: bool = False) -> list[str]:
        """The units that will not come up; with `waits`, while a job for them still runs."""
        argv = ["systemctl", "show", "--property=Id,ActiveState,NRestarts", "*"]
        return parse_failed(self.run(argv, check=False).text, waits=waits)

    def knows_unit(self, unit: str) -> bool:
        """Whether systemd has a unit of that name, or once had, so that it has logged something."""
        asked = self.run(["systemctl", "show", "--property=LoadState", "--value", "--", unit], check=False)
        if asked.text.strip() not in {"not-found", ""}:
            return True
        log = self.run(["journalctl", "--quiet", "--lines=1", "--output=cat", f"--unit={unit}"], check=False)
        return bool(log.text.strip())

    def units(self) -> list[str]:
        """The units that systemd has there, services without `.service`."""
        argv = ["systemctl", "list-units", "--all", "--full", "--plain", "--no-legend", "--no-pager"]
        lines = self.run(argv, check=False).text.splitlines()
        return [line.split()[0].removesuffix(".service") for line in lines if line.strip()]

    def journal(self, unit: str, lines: int = 8) -> str:
        """The last lines that a service has printed; systemd's own about it if there are none."""
        service = unit if "." in unit else f"{unit}.service"
        read = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={lines}"]
        own = self.run([*read, f"_SYSTEMD_UNIT={service}"], check=False).output.rstrip()
        return own or self.run([*read, f"--unit={service}"], check=False).output.rstrip()


class Talk:
    """A command that runs on a machine, and that is talked with line by line."""

    def __init__(self, name: str, session: Exec) -> None:
        self._name = name
        self._session = session
        self._frames = session.frames()
        self._reading = threading.Lock()
        """Held by who reads: one that was given up, for it took too long or by Ctrl-C, may still do so."""
        self._printed = b""
        self._said = b""

    def hear(self, seconds: float) -> str:
        """The next line that it prints. Raises `LabError` when none comes in time, or it has ended."""
        line = self._within(seconds, self._line)
        if line is None:
            words = self._said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise LabError(f"{self._name} has ended: {words[-1]}")
        return line

    def say(self, line: str) -> None:
        """Give it a line on its standard input. Raises `LabError` when it has ended."""
        try:
            self._session.send(f"{line}\n".encode())
        except OSError as error:
            raise LabError(f"{self._name} has ended: {error.strerror}") from error

    def end(self, seconds: float) -> None:
        """Give it an empty line, and wait for its end. Raises `LabError` when that does not come in time."""
        with suppress(LabError):  # it has ended by itself
            self.say("")
        self._within(seconds, self._rest)

    def _within(self, seconds: float, act: Callable[[], T]) -> T:
        def alone() -> T:
            with self._reading:
                return act()

        try:
            return threads.start(alone).result(seconds)
        except threads.Late:
            raise LabError(f"{self._name} did not answer in {seconds:.0f} s") from None

    def _line(self) -> str | None:
        while b"\n" not in self._printed:
            frame = next(self._frames, None)
            if frame is None:
                return None
            stream, data = frame
            if stream == STDERR:
                self._said += data
            else:
                self._printed += data
        line, _, self._printed = self._printed.partition(b"\n")
        return line.decode(errors="replace")

    def _rest(self) -> None:
        while self._line() is not None:
            pass
