"""What delays, loses, limits, drops or redirects packets at a device: queueing disciplines, filters, XDP."""

from collections.abc import Iterator

from lab.doctor.case import Case
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.questions import devices_of
from lab.doctor.registry import diagnosis
from lab.queueing import ONLY_QUEUE
from lab.spec import NodeSpec


def _wanted(case: Case, node: NodeSpec) -> bool:
    """Whether the lab file itself has packets delayed or lost on this machine's segments."""
    return bool(case.spec.impairments(node))


def _severity(case: Case, node: NodeSpec) -> Severity:
    return Severity.NOTE if _wanted(case, node) else Severity.MEND


def _as_wanted(case: Case, node: NodeSpec) -> tuple[str, ...]:
    return tuple(
        f"the lab file says of {device}: {what}" for device, what in case.spec.impairments(node).items()
    )


@diagnosis(
    "queue.discipline",
    Layer.QUEUE,
    finds="A queueing discipline that delays, loses or limits packets (netem, tbf and others), on any "
    "device of a machine",
)
def discipline(case: Case) -> Iterator[Found]:
    """Where a filter leads packets by way of another device, it is on that."""
    for node, look in case.each():
        for item in look.qdiscs:
            if item.kind not in ONLY_QUEUE:
                evidence = (
                    f"tc qdisc: {item.kind} dev {item.device} {item.parent} {item.options}".rstrip(),
                    *_as_wanted(case, node),
                )
                parent = ("root",) if item.parent == "root" else ("parent", item.parent)
                fix = (case.on(node.name, "tc", "qdisc", "delete", "dev", item.device, *parent),)
                yield Found(
                    node.name,
                    f"{item.kind} holds back or loses packets at {item.device}",
                    evidence,
                    fix,
                    _severity(case, node),
                )


@diagnosis(
    "queue.filter",
    Layer.QUEUE,
    finds="A filter of tc that drops, redirects or alters packets at `ethN`, flannel's device or docker0",
)
def filters(case: Case) -> Iterator[Found]:
    """All of one device and direction together."""
    for node, look in case.each():
        places = sorted({(item.device, item.direction) for item in look.filters if item.action})
        for device, direction in places:
            here = [
                item
                for item in look.filters
                if (item.device, item.direction) == (device, direction) and item.action
            ]
            if not any(_harms(item.action) for item in here):
                continue
            lines = tuple(
                dict.fromkeys(
                    f"tc filter: dev {device} {direction} pref {it.pref} {it.kind}: {it.action}"
                    for it in here
                )
            )[:6]
            fix = (
                case.on(node.name, "tc", "-statistics", "filter", "show", "dev", device, direction),
                case.on(node.name, "tc", "filter", "delete", "dev", device, direction),
            )
            yield Found(
                node.name,
                f"filters take packets off their way at {device}, {direction}",
                (*lines, *_as_wanted(case, node)),
                fix,
                _severity(case, node),
            )


def _harms(action: str) -> bool:
    """Whether packets do not go on as they were: a copy for somebody who listens does no harm."""
    return any(not word.startswith("mirror") for word in action.split(", "))


@diagnosis(
    "queue.xdp",
    Layer.QUEUE,
    finds="An XDP program at `ethN`, flannel's device or docker0, which may drop or redirect what arrives",
)
def xdp(case: Case) -> Iterator[Found]:
    """No flannel attaches one."""
    for node, look in case.each():
        for name in devices_of(case.spec, node):
            device = look.device(name)
            if device is not None and device.xdp:
                evidence = (f"ip link show dev {name}: xdp {device.xdp}", *_as_wanted(case, node))
                off = (
                    case.on(node.name, "ip", "link", "set", "dev", name, kind, "off")
                    for kind in ("xdpgeneric", "xdpdrv")
                )
                what = f"an XDP program sees what arrives at {name} before anybody else, and may drop it"
                yield Found(node.name, what, evidence, tuple(off), _severity(case, node))
