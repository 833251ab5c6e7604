"""What a machine is asked for: start a state, do an event, stop a state, say what is in force.

Each request and each answer is a JSON object. An answer has `error` where it failed, with `refused` true
where it can never succeed here, and `hint` with what to do.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab.faults.inside import (
    clocks,
    crashes,
    etcd,
    firewall,
    impairments,
    keys,
    leases,
    links,
    mounts,
    ports,
    routes,
    spoof,
    sysctls,
    units,
)
from lab.faults.inside.kinds import EVENTS, STATES, Failed, Given, Refused, Seen, State
from lab.faults.inside.records import Record, Records, Step, boot

__all__ = ["do", "main", "start", "status", "stop"]

Answer = dict[str, Any]

MODULES = (
    clocks,
    crashes,
    etcd,
    firewall,
    impairments,
    keys,
    leases,
    links,
    mounts,
    ports,
    routes,
    spoof,
    sysctls,
    units,
)
"""What they can do they register when they are imported."""


def start(records: Records, request: Mapping[str, Any], now: str) -> Answer:
    """Take the steps of a fault, add them to its record, and answer what is seen of it then.

    A record is written before anything is changed, so that what was changed can be undone whatever happens.
    When a step fails, those before it are undone.
    """
    record = records.get(request["id"]) or Record(request["id"], request["about"])
    taken = len(record.steps)
    seen: list[str] = []
    try:
        for item in request["steps"]:
            it = STATES[item["does"]]({**item["given"], "id": request["id"]})
            it.saved = it.save()
            if not it.unique and (before := it.seen()).on:
                raise Failed(f"it is so already: {before.words}")
            record.steps.append(Step(item["does"], it.given, it.saved, now))
            records.put(record)
            it.start()
            found = it.seen()
            if not found.on and not it.repaired:
                raise Failed(f"it was started, and is not in force: {found.words}")
            seen.append(found.words if found.on else f"it was repaired at once: {found.words}")
    except BaseException as error:
        _undo(records, record, taken, error)
        raise
    return {"seen": seen}


def _undo(records: Records, record: Record, taken: int, error: BaseException) -> None:
    """Undo what a start has done so far; what could not be stays on record, and the error says so."""
    try:
        while len(record.steps) > taken:
            _state(record.steps[-1]).stop()
            record.steps.pop()
    except (Failed, OSError) as failed:
        error.args = (f"{error}; undoing it failed too: {failed}",)
        records.put(record)
        return
    records.put(record) if record.steps else records.remove(record.id)


def _state(step: Step) -> State:
    return STATES[step.does](step.given, step.saved)


def stop(records: Records, request: Mapping[str, Any], now: str) -> Answer:
    """Undo a fault, the last step first, and answer what was seen of it just before, as `status` does.

    What the machine's reboot has ended is only forgotten.
    """
    record = records.get(request["id"])
    if record is None:
        return {"faults": []}
    about = record.about
    if (later := _later(records, record)) is not None:
        what = f"{later.id} {later.about['fault']}"
        raise Failed(f"{what} began later and changes the same; end that first", f"lab fault stop {later.id}")
    ended: list[Answer] = []
    while record.steps:
        step = record.steps[-1]
        it = _state(step)
        it.ready()
        ended.insert(0, _seen(it, step.boot == now))
        if step.boot == now or it.lasts:
            it.stop()
            left = it.seen()
            if left.on:
                raise Failed(f"it was ended, and is still in force: {left.words}")
        record.steps.pop()
        records.put(record)
    records.remove(record.id)
    return {"faults": [{"id": record.id, "about": about, "steps": ended}]}


def _later(records: Records, record: Record) -> Record | None:
    """The latest fault that changes what this one changes, if it began later: its inverse leads back here."""
    ours = _changes(record)
    shared = [item for item in records.every() if item.id != record.id and ours & _changes(item)]
    later = [item for item in shared if item.about["began"] > record.about["began"]]
    return max(later, key=lambda item: str(item.about["began"]), default=None)


def _changes(record: Record) -> set[str]:
    return {change for step in record.steps for change in _state(step).changes}


def status(records: Records, now: str) -> Answer:
    """Every fault that was started here and not stopped, and what the machine shows of it."""
    return {
        "faults": [
            {
                "id": item.id,
                "about": item.about,
                "steps": [_seen(_state(step), step.boot == now) for step in item.steps],
            }
            for item in records.every()
        ]
    }


def _seen(it: State, in_this_boot: bool) -> Answer:
    """`on` is null where it cannot be seen."""
    if not in_this_boot and not it.lasts:
        return {"on": False, "words": "it ended with a reboot"}
    try:
        found: Seen = it.seen()
    except (Failed, OSError) as error:
        return {"on": None, "words": str(error)}
    return {"on": found.on, "words": found.words}


def do(request: Mapping[str, Any]) -> Answer:
    """Do each of a list of events."""
    return {"did": [EVENTS[item["does"]](item["given"]) for item in request["steps"]]}


def answer(verb: str, request: Mapping[str, Any]) -> Answer:
    """The answer to a request."""
    records = Records()
    acts: Mapping[str, Callable[[], Answer]] = {
        "start": lambda: start(records, request, boot()),
        "stop": lambda: stop(records, request, boot()),
        "status": lambda: status(records, boot()),
        "do": lambda: do(request),
    }
    try:
        if verb == "do":
            return acts[verb]()
        with records.locked():
            return acts[verb]()
    except (Refused, Failed) as error:
        return {"error": str(error), "refused": isinstance(error, Refused), "hint": error.hint}
    except OSError as error:
        return {"error": str(error), "refused": False, "hint": ""}


def main(argv: Sequence[str]) -> int:
    """VERB REQUEST; or `run` NAME GIVEN, for what a fault needs to have running."""
    verb, *rest = argv
    if verb == "run":
        name, given = rest
        try:
            return RUNNING[name](json.loads(given))
        except (Failed, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
    sys.stdout.write(json.dumps(answer(verb, json.loads(rest[0]))))
    return 0


RUNNING: Mapping[str, Callable[[Given], int]] = {
    "crash-loop": crashes.crash_loop,
    "flap": links.flap_loop,
    "port": ports.hold,
}
