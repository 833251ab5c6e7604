"""What `lab check` and `lab up` end with."""

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Protocol

from lab.checks import Finding, Kind, LeftOut, failed, left_out
from lab.render.text import indent, less, table
from lab.spec import LabSpec

__all__ = ["findings", "up"]

MARKS = {Kind.PASS: "ok", Kind.FAIL: "FAILED", Kind.UNKNOWN: "UNKNOWN"}
DEVICE_CHECKS = ("overlay", "docker0")
"""What the identifiers of checks of devices begin with, of those that the end of `lab up` shows."""
LOGIN_CHECKS = {"login.mysql": "mysql", "login.pymysql": "pymysql"}


class _Lab(Protocol):
    @property
    def spec(self) -> LabSpec: ...
    @property
    def underlay(self) -> IPv4Network: ...


def findings(
    found: Sequence[Finding],
    left_out: Sequence[LeftOut] = (),
    *,
    failures: bool = False,
    width: int | None = None,
) -> str:
    """`lab check`: expected against seen, a mark before each, and the sum; with `failures`, of those only."""
    shown = failed(found) if failures else found
    end = "\n".join([*map(str, left_out), _sum(found)])
    return f"{_table(shown, width)}\n\n{end}" if shown else end


def _table(found: Sequence[Finding], width: int | None) -> str:
    rows = [
        [
            MARKS[item.kind],
            item.title,
            str(item.subject),
            item.expected.text.rstrip("\n"),
            "the same" if item.ok and item.seen.text == item.expected.text else item.seen.text.rstrip("\n"),
        ]
        for item in found
    ]
    return table(["", "CHECK", "SUBJECT", "EXPECTED", "SEEN"], rows, width)


def _sum(found: Sequence[Finding]) -> str:
    counts = {kind: sum(item.kind is kind for item in found) for kind in (Kind.FAIL, Kind.UNKNOWN)}
    told = [f"{count} {MARKS[kind]}" for kind, count in counts.items() if count]
    return f"{', '.join(told)} of {len(found)} checks." if told else f"All {len(found)} checks passed."


def up(lab: _Lab, found: Sequence[Finding], *, width: int | None = None) -> str:
    """The end of `lab up`: what the tutorial ends with, and every check that failed."""
    by_subject = {(item.id, item.subject.names, item.subject.part): item.seen.text for item in found}

    def seen(check: str, name: str, part: str = "", otherwise: str = "-") -> str:
        return by_subject.get((check, (name,), part), otherwise)

    def devices(node: str) -> list[tuple[str, str]]:
        """flannel's, if it has one, and docker0; with what the identifiers of their checks begin with."""
        return list(
            dict.fromkeys(
                (kind, item.subject.part)
                for kind in DEVICE_CHECKS
                for item in found
                if item.id == f"{kind}.address" and item.subject.names == (node,)
            )
        )

    minions = [node.name for node in lab.spec.minions]
    tables = {
        f"Lab {lab.spec.name} on {lab.underlay}: leases in etcd": (
            ["NODE", "LEASE", "VALUE"],
            [
                # Of wireguard's value nobody can say what it must be: the device's key is in no other place.
                [name, seen("leases.key", name), seen("leases.value", name, otherwise="not compared")]
                for name in minions
            ],
        ),
        "Devices": (
            ["NODE", "DEVICE", "ADDRESS", "MTU", "QLEN"],
            [
                [
                    name,
                    device,
                    *(seen(f"{kind}.{what}", name, device) for what in ("address", "mtu", "queue")),
                ]
                for name in minions
                for kind, device in devices(name)
            ],
        ),
        "Pods": (
            ["POD", "ADDRESS", "STATE"],
            [
                [str(item.subject), seen("pod.address", str(item.subject), "eth0"), item.seen.text]
                for item in found
                if item.id == "pod.running"
            ],
        ),
        "MySQL logins from pod to pod": (
            ["LOGIN", "WITH", "ANSWER"],
            [
                [str(item.subject), LOGIN_CHECKS[item.id], item.seen.text]
                for item in found
                if item.id in LOGIN_CHECKS
            ],
        ),
    }
    text = "\n\n".join(
        f"{name}\n{indent(table(header, rows, less(width)))}"
        for name, (header, rows) in tables.items()
        if rows
    )
    if wrong := failed(found):
        text += f"\n\n{_table(wrong, width)}"
    return "\n".join([text, "", *map(str, left_out(lab.spec)), _sum(found)])
