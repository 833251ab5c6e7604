"""What the page may have done: faults, a trace, a look into a log. Each answers a document."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from lab.cluster import Lab
from lab.errors import Unfit
from lab.faults import control
from lab.faults.registry import every_fault
from lab.naming import name_option
from lab.observe.journal import lines_of
from lab.render import faults as render
from lab.render import trace as render_trace
from lab.render.documents import Document, versioned
from lab.trace.asked import Asked
from lab.trace.control import trace
from lab.web.words import choice, flag, number, require, text, texts, values

__all__ = ["Actions", "catalogue"]

LINES = 200
"""Of a log, unless another number is asked for."""

PROTOCOLS: Sequence[Literal["icmp", "udp", "tcp"]] = ("icmp", "udp", "tcp")


def catalogue() -> Document:
    """`lab fault ls --json`."""
    return render.document_of_faults(every_fault())


class Actions:
    """By the lab as it is when one is asked for."""

    def __init__(self, find: Callable[[], Lab]) -> None:
        self._find = find

    def start(self, body: Mapping[str, Any]) -> Document:
        """`lab fault start`. Raises `LabError`."""
        require(body, "fault", "targets", "options")
        name, targets, options = text(body, "fault"), texts(body, "targets"), values(body, "options")
        done = control.start(self._find(), name, targets, options)
        return render.document_of_started(done.fault, done.id, done.targets, done.options, done.told)

    def stop(self, body: Mapping[str, Any]) -> Document:
        """`lab fault stop`. Raises `LabError`."""
        require(body, "what", "targets")
        what, targets = text(body, "what"), texts(body, "targets")
        return render.document_of_ended(control.stop(self._find(), what, targets))

    def clear(self, body: Mapping[str, Any]) -> Document:
        """`lab fault clear`. Raises `LabError`."""
        require(body)
        return render.document_of_ended(control.clear(self._find()))

    def trace(self, body: Mapping[str, Any]) -> Document:
        """`lab trace`. Raises `LabError`."""
        require(body, "source", "destination", "protocol", "port", "ipv6")
        port = number(body, "port", 0, 65535)
        protocol = choice(body, "protocol", PROTOCOLS)
        if protocol == "icmp" and port:
            raise Unfit(f"port: icmp has none; to port {port} by udp or tcp? Name it in protocol")
        if protocol != "icmp" and not port:
            raise Unfit(f"protocol: {protocol} to which port? Name it in port")
        asked = Asked(
            text(body, "source"),
            text(body, "destination"),
            protocol,
            port,
            family=6 if flag(body, "ipv6") else 4,
        )
        return render_trace.document(asked, *trace(self._find(), asked))

    def logs(self, node: str, unit: str, lines: int = LINES) -> Document:
        """The last lines of a unit's log. Raises `LabError`."""
        lab = self._find()
        machine = lab.node(node)
        if not machine.knows_unit(unit):
            hint = f"See: lab exec{name_option(lab.name)} {node} -- systemctl list-units"
            raise Unfit(f"{node} has no unit {unit}", hint=hint)
        argv = ["journalctl", "--no-pager", "--quiet", "--output=json", f"--lines={lines}", f"--unit={unit}"]
        found, _ = lines_of(machine.run(argv).text)
        told = [{"at": line.wall / 1e6, "origin": line.origin, "message": line.message} for line in found]
        return versioned({"node": node, "unit": unit, "lines": told})
