"""Faults of a systemd unit: stopped, paused, killed, in a crash loop, out of memory."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab.faults.inside import helper
from lab.faults.inside.kinds import Failed, Given, Refused, Saved, Seen, State, event, run, state, until

__all__ = ["active_with", "crash_loop", "must_run", "properties", "start_again", "stop_unit"]

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
        raise Failed(f"there is no unit {unit}")
    return found


def active_with(unit: str) -> list[str]:
    """The unit and what stops with it, as far as they run, or are about to: what requires it, and so on."""
    found: dict[str, None] = {}
    waiting = [unit]
    while waiting:
        name = waiting.pop(0)
        seen = properties(name)
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
        must_run(self.given["unit"])
        return {"ran": active_with(self.given["unit"])}

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


@state("unit-crashing")
class Crashing(State):
    """A process here kills its main process again and again."""

    unique = True

    @property
    def changes(self) -> Sequence[str]:
        """The unit."""
        return (self.given["unit"],)

    def save(self) -> Saved:
        """What runs now."""
        must_run(self.given["unit"])
        return {"ran": active_with(self.given["unit"])}

    def start(self) -> None:
        """Begin to kill it."""
        helper.begin(self.given["id"], "crash-loop", self.given)

    def seen(self) -> Seen:
        """By the process that kills."""
        runs = helper.runs(self.given["id"], "crash-loop")
        now = properties(self.given["unit"])
        return Seen(
            runs,
            f"{self.given['unit']} is killed every {self.given['every']:g} s, and is {now['ActiveState']}"
            if runs
            else "nothing kills it any more",
        )

    def stop(self) -> None:
        """Leave it alone, and start what ran, also where systemd has given up."""
        helper.end(self.given["id"], "crash-loop")
        start_again(self.saved["ran"])


def crash_loop(given: Given) -> int:
    """Kill a unit's main process whenever it has one, until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ready = False
    while True:
        pid = int(properties(given["unit"])["MainPID"])
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not ready:
            helper.notify_ready()
            ready = True
        if signal.sigtimedwait({signal.SIGTERM}, given["every"]) is not None:
            return 0


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
    must_run(given["unit"])
    run(["systemctl", "restart", "--no-block", "--", *active_with(given["unit"])])
    return f"systemd restarts {given['unit']}"


@event("unit-oom")
def oom(given: Given) -> str:
    """Give its cgroup less memory than it uses, until the kernel has killed one of its processes."""
    unit = given["unit"]
    group = CGROUPS / must_run(unit)["ControlGroup"].lstrip("/")
    limit = group / "memory.max"
    if not limit.exists():
        raise Refused(
            "this machine's cgroups have no memory controller, so the kernel cannot run out of memory in one",
            hint="Root on the host can give it one: boot with systemd.unified_cgroup_hierarchy=1, or without "
            "cgroup_disable=memory, so that the engine has cgroup v2 with memory.",
        )
    before = limit.read_text(encoding="ascii")
    killed = _oom_kills(group)
    limit.write_text("65536", encoding="ascii")
    try:
        until(
            lambda: "none was killed" if _oom_kills(group) == killed else "",
            f"the kernel to kill a process of {unit}",
        )
    finally:
        with contextlib.suppress(FileNotFoundError):  # the cgroup went with its last process
            limit.write_text(before, encoding="ascii")
    return f"the kernel has killed a process of {unit} for want of memory"


def _oom_kills(group: Path) -> int:
    """Counted by the kernel in memory.events; -1 once the cgroup is gone."""
    try:
        lines = (group / "memory.events").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return -1
    return next(int(count) for name, count in _pairs(lines) if name == "oom_kill")


def _pairs(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(" ")
        yield name, value
