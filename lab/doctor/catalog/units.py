"""What runs on the machines: units and their processes."""

from collections.abc import Iterator

from lab.doctor.case import Case, short
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.registry import diagnosis
from lab.doctor.seen import Unit

STOPPED = frozenset("Tt")
"""States of proc(5): stopped by a signal, or by a debugger."""

OFTEN = 3
"""Restarts by systemd after which a unit that still does not run, or has only just begun, crashes again and
again."""

YOUNG = 60.0
"""Seconds: a unit that has run for so long is not about to crash at its start."""

RECENT = 300.0
"""Seconds: that a unit was started anew so long ago may be why others have just changed."""

LINES = 3
"""Of a unit's log that are shown."""

BOOTING = 120.0
"""Seconds that a machine may take to start everything: before that nothing was started anew."""


def _crashes(unit: Unit) -> bool:
    young = unit.active != "active" or (unit.up is not None and unit.up < YOUNG)
    return unit.sub.startswith("auto-restart") or (unit.restarts >= OFTEN and young)


def _stopped(unit: Unit) -> bool:
    return any(item.state in STOPPED for item in unit.processes)


def _state(unit: Unit) -> str:
    return f"{unit.name}: {unit.active} ({unit.sub}), Result={unit.result}, NRestarts={unit.restarts}"


def _evidence(unit: Unit) -> tuple[str, ...]:
    status = (f"it says: {unit.status}",) if unit.status else ()
    return (_state(unit), *status, *(f"log: {short(line)}" for line in unit.log[-LINES:]))


@diagnosis(
    "unit.paused",
    Layer.UNIT,
    start=True,
    finds="Processes of etcd, flanneld, docker or another unit are stopped",
)
def paused(case: Case) -> Iterator[Found]:
    """SIGSTOP, Ctrl-Z or a debugger: systemd still calls the unit active."""
    for node, _, unit in case.units():
        stopped = [item for item in unit.processes if item.state in STOPPED]
        if stopped:
            evidence = tuple(f"process {it.pid} ({it.name}): state {it.state}" for it in stopped[:4])
            fix = (case.on(node.name, "systemctl", "kill", "--signal=SIGCONT", unit.name),)
            count = f"{len(stopped)} of {len(unit.processes)} processes are stopped"
            yield Found(node.name, f"{unit.name} stands still: {count}", evidence, fix)


@diagnosis(
    "unit.crashes",
    Layer.UNIT,
    start=True,
    finds="A unit has ended by itself, and systemd is about to start it again; or has done so three times or "
    "more, and it does not run for a minute yet",
)
def crashes(case: Case) -> Iterator[Found]:
    """Each time it ends by itself, or somebody kills it."""
    for node, _, unit in case.units():
        if _crashes(unit):
            fix = (
                case.lab("logs", node.name, unit.name),
                case.shell(node.name, f"systemctl reset-failed {unit.name}; systemctl restart {unit.name}"),
            )
            times = (
                f"systemd has started it again {unit.restarts} times"
                if unit.restarts
                else "it has just ended"
            )
            what = f"{unit.name} crashes: {times}"
            yield Found(node.name, what, _evidence(unit), fix)


@diagnosis("unit.down", Layer.UNIT, finds="A unit that the lab file has on a machine does not run")
def down(case: Case) -> Iterator[Found]:
    """Stopped, failed, or not started yet."""
    for node, _, unit in case.units():
        if unit.active == "active" or _crashes(unit):
            continue
        if unit.active == "activating":
            what = f"{unit.name} has not started yet"
            fix = [case.lab("logs", node.name, unit.name)]
        else:
            what = f"{unit.name} does not run: it is {unit.active}"
            fix = [
                case.on(node.name, "systemctl", "start", unit.name),
                case.lab("logs", node.name, unit.name),
            ]
        yield Found(node.name, what, _evidence(unit), fix)


@diagnosis(
    "unit.restarted",
    Layer.UNIT,
    severity=Severity.NOTE,
    finds="A unit that runs has been started anew in the last five minutes, or by systemd since",
)
def restarted(case: Case) -> Iterator[Found]:
    """It came back, as it should; others may have noticed."""
    for node, _, unit in case.units():
        if unit.active != "active" or _crashes(unit) or unit.up is None:
            continue
        late = unit.since_boot is not None and unit.since_boot > BOOTING
        if unit.restarts or (late and unit.up < RECENT):
            times = f", {unit.restarts} times by systemd" if unit.restarts else ""
            what = f"{unit.name} was started anew{times}, {unit.up:.0f} s ago"
            yield Found(node.name, what, (_state(unit),), (case.lab("logs", node.name, unit.name),))


@diagnosis(
    "flanneld.readiness",
    Layer.READINESS,
    finds="flanneld answers on `-healthz-port` that it is not ready, or is degraded; or does not answer "
    "there",
)
def readiness(case: Case) -> Iterator[Found]:
    """In its own words."""
    for node, look in case.each():
        answer, unit = look.readyz, look.units.get("flanneld")
        if answer is None or unit is None or unit.active != "active" or _stopped(unit):
            continue
        evidence = (f"/readyz: {answer.status or 'no answer'} {answer.text}",)
        fix = (case.lab("logs", node.name, "flanneld"),)
        if answer.status == 0:
            yield Found(node.name, "flanneld does not answer on its -healthz-port", evidence, fix)
        elif answer.status >= 500:
            yield Found(node.name, "flanneld is not ready", evidence, fix)
        elif "degraded" in answer.text:
            yield Found(node.name, "flanneld is degraded", evidence, fix)
