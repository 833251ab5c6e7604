"""What `lab check` and `lab up` end with."""

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Protocol

from lab.checks import Finding
from lab.render.text import indent, less, table
from lab.spec import LabSpec

__all__ = ["findings", "up"]


DEVICE = ("address", "MTU", "queue length")


class _Lab(Protocol):
    @property
    def spec(self) -> LabSpec: ...
    @property
    def underlay(self) -> IPv4Network: ...


def findings(found: Sequence[Finding], *, failed: bool = False, width: int | None = None) -> str:
    """`lab check`: expected against seen, a mark before each, and the sum; if `failed`, of those only."""
    shown = [item for item in found if not (failed and item.ok)]
    return f"{_table(shown, width)}\n\n{_sum(found)}" if shown else _sum(found)


def _table(found: Sequence[Finding], width: int | None) -> str:
    rows = [
        [
            "ok" if item.ok else "FAILED",
            item.check,
            item.subject,
            item.expected.rstrip("\n"),
            "the same" if item.seen == item.expected and item.ok else item.seen.rstrip("\n"),
        ]
        for item in found
    ]
    return table(["", "CHECK", "SUBJECT", "EXPECTED", "SEEN"], rows, width)


def _sum(found: Sequence[Finding]) -> str:
    failed = sum(not item.ok for item in found)
    return f"{failed} of {len(found)} checks FAILED." if failed else f"All {len(found)} checks passed."


def _devices(found: Sequence[Finding], node: str) -> list[str]:
    """flannel's, if it has one, and docker0."""
    checked = [item.check.removesuffix(" address") for item in found if item.subject == node]
    return [name for name in dict.fromkeys(checked) if name.startswith("flannel") and " " not in name] + [
        "docker0"
    ]


def up(lab: _Lab, found: Sequence[Finding], *, width: int | None = None) -> str:
    """The end of `lab up`: what the tutorial ends with, and every check that failed."""
    seen = {(item.check, item.subject): item.seen for item in found}
    minions = [node.name for node in lab.spec.minions]
    leases = [
        [name, seen.get(("lease", name), "-"), seen.get(("lease value", name), "-")] for name in minions
    ]
    devices = [
        [name, device, *(seen.get((f"{device} {what}", name), "-") for what in DEVICE)]
        for name in minions
        for device in _devices(found, name)
    ]
    running = [
        [item.subject, seen.get(("pod eth0 address", item.subject), "-"), item.seen]
        for item in found
        if item.check == "pod"
    ]
    logins = [
        [item.subject, item.check.removeprefix("login with "), item.seen]
        for item in found
        if item.check.startswith("login with ")
    ]
    title = f"Lab {lab.spec.name} on {lab.underlay}: leases in etcd"
    text = "\n\n".join(
        f"{name}\n{indent(table(header, rows, less(width)))}"
        for name, header, rows in (
            (title, ["NODE", "LEASE", "VALUE"], leases),
            ("Devices", ["NODE", "DEVICE", "ADDRESS", "MTU", "QLEN"], devices),
            ("Pods", ["POD", "ADDRESS", "STATE"], running),
            ("MySQL logins from pod to pod", ["LOGIN", "WITH", "ANSWER"], logins),
        )
        if rows
    )
    if failed := [item for item in found if not item.ok]:
        text += f"\n\n{_table(failed, width)}"
    return f"{text}\n\n{_sum(found)}"
