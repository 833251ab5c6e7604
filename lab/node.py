"""One machine of a lab: commands and files in its container."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from lab import wait
from lab.engine import Container, Engine, ExecResult
from lab.errors import CommandError, LabError

__all__ = ["Node"]

LAST_WORDS = 25
"""Lines: flanneld names a bad option above its usage, which has 21."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that stands, as a container of the engine."""

    engine: Engine
    container: Container
    address: IPv4Address

    @property
    def name(self) -> str:
        """Its host name."""
        return self.container.labels["lab.node"]

    @property
    def lab(self) -> str:
        """The name of its lab."""
        return self.container.labels["lab.name"]

    @property
    def role(self) -> str:
        """master or minion."""
        return self.container.labels["lab.role"]

    def run(self, argv: Sequence[str], *, check: bool = True, stdin: bytes | None = None) -> ExecResult:
        """Run a command on the machine to its end. Raises `CommandError` on failure if `check`."""
        feed = None if stdin is None else [stdin]
        result = self.engine.exec(self.container.id, argv, stdin=feed)
        if check and result.exit_code != 0:
            raise CommandError(self.name, argv, result.exit_code, result.output)
        return result

    def start_service(self, unit: str, *, timeout: float = 60, cancel: threading.Event | None = None) -> None:
        """Wait until systemd has started a unit, whose start may already be under way.

        Raises `TimedOut` with the unit's last log lines when it does not come up in time, and
        `LabError` at once when it has failed.
        """

        def started() -> bool | wait.NotYet:
            # Joins a start job that is queued already. 124 is timeout(1)'s: the job is still waiting.
            result = self.run(["timeout", "2", "systemctl", "start", unit], check=False)
            if result.exit_code == 0:
                return True
            failed = self.failed_units()
            if result.exit_code != 124 and failed:
                # What it said last may be on its way to the journal yet.
                self.run(["journalctl", "--sync"], check=False)
                logs = "\n".join(
                    f"{name}: {line}"
                    for name in failed
                    for line in self.journal(name, LAST_WORDS).splitlines()
                )
                raise LabError(
                    f"{self.name}: {unit} cannot start, because {', '.join(failed)} failed\n{logs}"
                )
            # The bus answers only some 0.3 s after the container's start.
            # On a minion everything waits for flanneld; its log says what for.
            log = self.journal("flanneld" if self.role == "minion" else unit)
            return wait.NotYet(result.output.strip() or f"{unit} is not started yet\n{log}")

        wait.until(started, what=f"{unit} on {self.name}", timeout=timeout, cancel=cancel)

    def failed_units(self) -> list[str]:
        """The units that systemd counts as failed."""
        argv = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"]
        return [line.split()[0] for line in self.run(argv, check=False).text.splitlines() if line.strip()]

    def journal(self, unit: str, lines: int = 8) -> str:
        """The last lines that a service has printed; systemd's own about it if there are none."""
        service = unit if "." in unit else f"{unit}.service"
        read = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={lines}"]
        own = self.run([*read, f"_SYSTEMD_UNIT={service}"], check=False).output.rstrip()
        return own or self.run([*read, f"--unit={service}"], check=False).output.rstrip()
