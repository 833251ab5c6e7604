"""Faults of a systemd unit that keep it from running for long: a crash loop, no memory."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.faults.inside import helper
from lab.faults.inside.kinds import Given, Refused, Saved, Seen, State, event, state, until
from lab.faults.inside.units import CGROUPS, active_with, must_run, properties, start_anew

__all__ = ["crash_loop"]


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
        unit = self.given["unit"]
        return {"ran": active_with(unit, must_run(unit))}

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
        start_anew(self.given["unit"], self.saved["ran"])


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
