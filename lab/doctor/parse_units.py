"""Reading what systemd, the journal and /proc say of a machine's units. Pure."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lab.doctor.seen import Process, Unit

__all__ = ["log_time", "parse_units"]

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?=\d*(Z|[+-]\d\d:\d\d))")

GLOG = re.compile(r"[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.\d+ ")
"""Severity, month, day and local time, as glog and klog write them."""


def parse_units(told: Mapping[str, Any], out: Callable[[str], str]) -> Mapping[str, Unit]:
    """By name; `out` is what a command of that name has printed."""
    blocks = [
        dict(line.split("=", 1) for line in block.split("\n") if "=" in line)
        for block in out("units").split("\n\n")
    ]
    booted = _seconds(out("boot").strip().partition("=")[2])
    units = [
        _unit(block, told["boot"], booted, told)
        for block in blocks
        if block.get("Id", "").endswith(".service")
    ]
    return {unit.name: _with_log(unit, out(f"log {unit.name}"), told["zone"]) for unit in units}


def _unit(block: Mapping[str, str], now: float, booted: float | None, told: Mapping[str, Any]) -> Unit:
    name = block["Id"].removesuffix(".service")
    since = _seconds(block.get("ActiveEnterTimestampMonotonic", ""))
    began = _seconds(block.get("InactiveExitTimestampMonotonic", ""))
    active = block.get("ActiveState", "")
    return Unit(
        name=name,
        active=active,
        sub=block.get("SubState", ""),
        result=block.get("Result", ""),
        restarts=int(block.get("NRestarts") or 0),
        pid=int(block.get("MainPID") or 0),
        status=block.get("StatusText", ""),
        up=now - since if since is not None and active == "active" else None,
        since_boot=began - booted if began is not None and booted is not None else None,
        processes=tuple(Process(**item) for item in told["processes"].get(name, ())),
        oom_kills=int(told["memory_events"].get(name, {}).get("oom_kill", 0)),
    )


def _seconds(microseconds: str) -> float | None:
    return int(microseconds) / 1e6 if microseconds.strip("0").isdigit() else None


def _with_log(unit: Unit, log: str, zone: int) -> Unit:
    """A unit with its last lines, and what the last one that its process has written says of its clock."""
    # Only there: what else str.splitlines takes for the end of a line may stand in a message, as U+2028.
    entries = [json.loads(line) for line in log.split("\n") if line]
    told = [(item, item["MESSAGE"]) for item in entries if isinstance(item.get("MESSAGE"), str)]
    ahead = None
    for item, message in told:
        at = int(item["__REALTIME_TIMESTAMP"]) / 1e6
        own = log_time(message, at, zone)
        if own is not None and item.get("_PID") == str(unit.pid):
            ahead = own - at
    return replace(unit, log=tuple(message for _, message in told), clock_ahead=ahead)


def log_time(message: str, near: float, zone: int) -> float | None:
    """The time that a line of a log has itself; of one without a year, the one nearest to another time.

    `zone` is how many seconds local time is ahead of UTC. None also for what looks like a time and is none.
    """
    with suppress(ValueError):
        if found := ISO.search(message):
            return datetime.fromisoformat(found[0] + found[1].replace("Z", "+00:00")).timestamp()
        if found := GLOG.match(message):
            return _nearest([int(part) for part in found.groups()], near, zone)
    return None


def _nearest(moment: Sequence[int], near: float, zone: int) -> float:
    """Month, day, hour, minute and second in the year in which they are nearest. Raises `ValueError`."""
    month, day, hour, minute, second = moment
    year = datetime.fromtimestamp(near, UTC).year
    times = [
        datetime(each, month, day, hour, minute, second, tzinfo=UTC).timestamp() - zone
        for each in (year - 1, year, year + 1)
        if (month, day) != (2, 29) or each % 4 == 0
    ]
    return min(times, key=lambda time: abs(time - near))
