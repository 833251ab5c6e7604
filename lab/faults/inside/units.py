"""Faults of a systemd unit: stopped, paused, killed, restarted."""

import contextlib
import os
import select
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.faults.inside.kinds import Failed, Given, Saved, Seen, State, event, run, state, until
from lab.suggest import similar

__all__ = ["CGROUPS", "active_with", "must_run", "properties", "start_again", "start_anew", "stop_unit"]

CGROUPS = Path("/sys/fs/cgroup")
RUNS = ("active", "activating", "reloading")
"""ActiveState of a unit that runs."""

PATIENCE = 5.0
"""Seconds for signals to have their effect."""


def properties(unit: str) -> Mapping[str, str]:
    """What systemd says of a unit. Raises `Failed` where there is no such unit."""
    names = "LoadState,ActiveState,Job,MainPID,ControlGroup,RequiredBy,BoundBy"
    text = run(["systemctl", "show", f"--property={names}", "--", unit])
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if found.get("LoadState") != "loaded":
        raise Failed(f"there is no unit {unit}{similar(unit, _known())}")
    return found


def _known() -> list[str]:
    """The units that systemd has."""
    listed = run(["systemctl", "list-units", "--all", "--full", "--plain", "--no-legend"])
    return [line.split()[0] for line in listed.splitlines() if line.strip()]


def active_with(unit: str, shown: Mapping[str, str] | None = None) -> list[str]:
    """The unit and what stops with it, as far as they run, or are about to: what requires it, and so on.

    `shown` is what systemd has just said of the unit, if it was asked.
    """
    found: dict[str, None] = {}
    waiting = [unit]
    while waiting:
        name = waiting.pop(0)
        seen = shown if name == unit and shown is not None else properties(name)
        if name not in found and (seen["ActiveState"] in RUNS or seen.get("Job", "") not in ("", "0")):
            found[name] = None
            waiting += [item for key in ("RequiredBy", "BoundBy") for item in seen[key].split()]
    return [name for name in found if name.endswith(".service")]


def must_run(unit: str) -> Mapping[str, str]:
    """What systemd says of a unit. Raises `Failed` where it does not run."""
    seen = properties(unit)
    if seen["ActiveState"] not in RUNS:
        raise Failed(f"{unit} does not run: it is {seen['ActiveState']}")
    return seen


def stop_unit(unit: str) -> None:
    """Stop it, and wait until it has ended."""
    run(["systemctl", "stop", "--", unit])


def start_anew(unit: str, units: Sequence[str]) -> None:
    """As `start_again`, where a start of this one may be under way that is bound to fail.

    When that failed, so would the jobs of what waits for it, and nothing would start those any more.
    """
    stop_unit(unit)
    start_again(units)


def start_again(units: Sequence[str]) -> None:
    """Have systemd start these, and do not wait for it."""
    run(["systemctl", "reset-failed", "--", *units], check=False)
    run(["systemctl", "start", "--no-block", "--", *units])


def processes(unit: str) -> list[int]:
    """The processes of a unit, those of its own cgroups too."""
    group = properties(unit)["ControlGroup"]
    if not group:
        return []
    found: list[int] = []
    for listing in (CGROUPS / group.lstrip("/")).rglob("cgroup.procs"):
        with contextlib.suppress(OSError):  # that cgroup has just gone
            found += map(int, listing.read_text(encoding="ascii").split())
    return found


def process_state(pid: int) -> str:
    """A process' state as proc(5) has it: T is stopped by a signal; empty when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


@state("unit-stopped")
class Stopped(State):
    """It does not run, nor what requires it."""

    @property
    def changes(self) -> Sequence[str]:
        """The unit."""
        return (self.given["unit"],)

    def save(self) -> Saved:
        """What runs now."""
        unit = self.given["unit"]
        return {"ran": active_with(unit, must_run(unit))}

    def start(self) -> None:
        """Stop it."""
        stop_unit(self.given["unit"])

    def seen(self) -> Seen:
        """By systemd."""
        active = properties(self.given["unit"])["ActiveState"]
        return Seen(active in ("inactive", "failed"), f"{self.given['unit']} is {active}")

    def stop(self) -> None:
        """Start what ran."""
        start_again(self.saved["ran"])


@state("unit-paused")
class Paused(State):
    """All its processes have been sent SIGSTOP."""

    @property
    def changes(self) -> Sequence[str]:
        """The unit."""
        return (self.given["unit"],)

    def save(self) -> Saved:
        """Nothing: SIGCONT needs no more than the unit."""
        must_run(self.given["unit"])
        return {}

    def start(self) -> None:
        """Stop each process, also one that another starts meanwhile."""

        def running() -> str:
            _send(processes(self.given["unit"]), signal.SIGSTOP)
            seen = self.seen()
            return "" if seen.on else seen.words

        until(running, f"every process of {self.given['unit']} to stop")

    def seen(self) -> Seen:
        """By the state of each process."""
        states = [
            found for pid in processes(self.given["unit"]) if (found := process_state(pid)) not in ("", "Z")
        ]
        stopped = states.count("T")
        words = f"{stopped} of {len(states)} processes of {self.given['unit']} are stopped"
        return Seen(bool(states) and stopped == len(states), words)

    def stop(self) -> None:
        """Let them go on."""
        _send(processes(self.given["unit"]), signal.SIGCONT)

        def stopped() -> str:
            seen = self.seen()
            return seen.words if seen.on else ""

        until(stopped, f"the processes of {self.given['unit']} to go on")


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@event("unit-kill")
def kill(given: Given) -> str:
    """Send its main process a signal; where that is SIGKILL, wait for the end."""
    unit, number = given["unit"], signal.Signals[given["signal"]]
    pid = int(must_run(unit)["MainPID"])
    if pid == 0:
        raise Failed(f"{unit} has no main process")
    process = os.pidfd_open(pid)
    os.kill(pid, number)
    if number == signal.SIGKILL:
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        if not waiting.poll(PATIENCE * 1000):
            raise Failed(f"process {pid} of {unit} did not end within {PATIENCE:.0f} s of SIGKILL")
    return f"process {pid} of {unit} was sent {number.name}"


@event("unit-restart")
def restart(given: Given) -> str:
    """Have systemd restart it and what stops with it, and do not wait for it."""
    ran = active_with(given["unit"], must_run(given["unit"]))
    run(["systemctl", "restart", "--no-block", "--", *ran])
    return f"systemd restarts {given['unit']}"
