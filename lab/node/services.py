"""The services of a machine, and how systemd says that each of them is doing. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["IMPAIRED_UNIT", "UNIT_FOLDER", "Service", "parse_failed", "parse_services", "show_argv"]

ENTERED = {"active": "ActiveEnterTimestamp", "inactive": "InactiveEnterTimestamp"} | {
    "failed": "InactiveEnterTimestamp",
    "activating": "InactiveExitTimestamp",
}
"""The property that says since when a unit has been in a state (ActiveState of systemd's D-Bus interface)."""

PROPERTIES = ("Id", "ActiveState", "SubState", "Result", "NRestarts", *dict.fromkeys(ENTERED.values()))

IMPAIRED_UNIT = "lab-impaired.service"
"""Starts the standing impairments of a machine's networks; lab/node/impaired.py has its text."""

UNIT_FOLDER = "/etc/systemd/system"
"""Where a machine has the units and drop-ins that are the lab's, before those of its image."""

VAIN_RESTARTS = 3
"""So often systemd has started a service again, and it has not come up: it will not."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service, as systemd sees it."""

    unit: str
    state: str
    """systemd's ActiveState, such as active, inactive or failed; unknown when systemd did not say."""
    detail: str = ""
    """SubState, and why the service ended last where that was no success."""
    since: datetime | None = None
    """When it entered that state; None where systemd keeps no such time, as of a unit never started."""
    restarts: int = 0
    """How often systemd has started it again by itself (NRestarts) since somebody last started it."""

    @property
    def ok(self) -> bool:
        """Whether it runs. That it had to be restarted is shown, and no fault: it came back, as it should."""
        return self.state == "active"

    def describe(self) -> str:
        """State, since when, and restarts, in words."""
        words = self.state if self.ok or not self.detail else f"{self.state} ({self.detail})"
        if self.since is not None:
            words += f" since {self.since:%Y-%m-%d %H:%M:%S} UTC"
        if self.restarts:
            words += f", restarted {self.restarts} time{'s' if self.restarts > 1 else ''}"
        return words

    def waiting(self) -> str:
        """What is known of a service that does not run yet, in words."""
        if self.state == "activating" and self.detail == "start":
            since = f" since {self.since:%H:%M:%S} UTC" if self.since is not None else ""
            return f"{self.unit} has been running{since}, and has not told systemd READY=1"
        return f"{self.unit} is {self.describe()}"


def show_argv(services: Sequence[str]) -> list[str]:
    """The command, on a machine that runs these, whose output `parse_services` reads.

    What starts with them and fails them when it fails (containerd, lab-store) is told by them.
    """
    units = [f"{unit}.service" for unit in services]
    return ["systemctl", "show", "--timestamp=unix", f"--property={','.join(PROPERTIES)}", *units]


def parse_services(services: Sequence[str], text: str) -> tuple[Service, ...]:
    """How these services are doing; one that the output does not tell of is unknown."""
    found = {block["Id"].removesuffix(".service"): block for block in _blocks(text)}
    return tuple(
        _service(unit, found[unit]) if unit in found else Service(unit, "unknown") for unit in services
    )


def parse_failed(text: str, *, waits: bool = False) -> list[str]:
    """The units, of `systemctl show` with Id, ActiveState and NRestarts, that will not come up.

    They have failed, or are started again and again; while a start job still waits, those alone.
    """
    return [
        block["Id"]
        for block in _blocks(text)
        if (block.get("ActiveState") == "failed" and not waits)
        or (block.get("ActiveState") == "activating" and int(block.get("NRestarts", 0)) >= VAIN_RESTARTS)
    ]


def _blocks(text: str) -> list[dict[str, str]]:
    """The properties of each unit that `systemctl show` tells of; none while systemd does not answer."""
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")
    ]
    return [block for block in blocks if "Id" in block]


def _service(unit: str, block: Mapping[str, str]) -> Service:
    state = block.get("ActiveState") or "unknown"
    result, restarts = block.get("Result", ""), block.get("NRestarts", "")
    details = [block.get("SubState", ""), result if result != "success" else ""]
    return Service(
        unit=unit,
        state=state,
        detail=", ".join(item for item in details if item and item != state),
        since=_time(block.get(ENTERED.get(state, ""), "")),
        restarts=int(restarts) if restarts.isdigit() else 0,
    )


def _time(text: str) -> datetime | None:
    """`@SECONDS`, as `--timestamp=unix` writes it."""
    seconds = text.removeprefix("@")
    return datetime.fromtimestamp(int(seconds), UTC) if seconds.isdigit() else None
