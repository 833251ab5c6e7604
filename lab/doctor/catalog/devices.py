"""Network devices: there, up, with the right addresses and MTUs, and nobody else's."""

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import ip_interface

from lab.checks.finding import Finding
from lab.doctor.case import Case, texts
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.questions import underlay_devices
from lab.doctor.registry import diagnosis
from lab.spec.segment import interfaces

OFTEN = 5
"""Losses of carrier that nothing in a machine's ordinary life explains."""


def _anew(case: Case, node: str, device: str) -> str:
    """What makes a device of flannel's or Docker's again."""
    return case.on(node, "systemctl", "restart", "docker" if device == "docker0" else "flanneld")


def _layer(device: str) -> Layer:
    return Layer.UNDERLAY if device.startswith("eth") else Layer.DEVICE


@diagnosis("device.missing", Layer.DEVICE, finds="`ethN`, flannel's device or docker0 is not there")
def missing(case: Case) -> Iterator[Found]:
    """flannel's and Docker's are made by their daemons."""
    for node, _, name, device in case.devices():
        if device is None:
            evidence = (f"ip link show dev {name}: no such device",)
            anew = [_anew(case, node.name, name)]
            fix = [case.lab("down"), case.lab("up")] if name.startswith("eth") else anew
            yield Found(node.name, f"there is no {name}", evidence, tuple(fix), layer=_layer(name))


@diagnosis(
    "device.down", Layer.DEVICE, finds="`ethN`, flannel's device or docker0 is down, or `ethN` has no carrier"
)
def down(case: Case) -> Iterator[Found]:
    """docker0 has no carrier while there is no pod."""
    for node, _, name, device in case.devices():
        if device is None:
            continue
        if not device.up:
            evidence = (f"ip link show dev {name}: no UP among its flags",)
            up = case.on(node.name, "ip", "link", "set", name, "up")
            yield Found(node.name, f"{name} is down", evidence, (up,), layer=_layer(name))
        elif not device.carrier and name in underlay_devices(node):
            evidence = (f"ip link show dev {name}: NO-CARRIER",)
            fix = (case.on(node.name, "ip", "-details", "link", "show", name),)
            yield Found(
                node.name,
                f"{name} has no carrier: its other end is down or gone",
                evidence,
                fix,
                layer=_layer(name),
            )


@diagnosis(
    "device.address",
    Layer.DEVICE,
    finds="A device without its address: `ethN` that of the lab, flannel's and docker0 those of the lease",
)
def address(case: Case) -> Iterator[Found]:
    """As the checks compare it. Those of IPv6 go when a device goes down: then that is what is told."""
    for finding in case.failing("underlay.address", "overlay.address", "docker0.address"):
        if not _is_up(case, finding):
            continue
        (name,), device = finding.subject.names, finding.subject.part
        if finding.id == "underlay.address":
            wrong = [
                it for it in finding.seen.text.split(", ") if "/" in it and it not in finding.expected.text
            ]
            lost = [it for it in finding.expected.text.split(", ") if it not in finding.seen.text.split(", ")]
            if not lost:
                continue  # it has more than it should: see device.extra-address
            fix = (
                *(case.on(name, "ip", "address", "add", it, "dev", device) for it in lost),
                *(case.on(name, "ip", "address", "delete", it, "dev", device) for it in wrong),
            )
        else:
            fix = (_anew(case, name, device),)
        yield Found(name, f"{device} does not have its address", texts(finding), fix, layer=_layer(device))


def _is_there(case: Case, finding: Finding) -> bool:
    """Whether the device of a finding exists; that it does not is another diagnosis."""
    look = case.look(finding.subject.names[0])
    return look is None or look.devices is None or look.device(finding.subject.part) is not None


def _is_up(case: Case, finding: Finding) -> bool:
    """Whether the device of a finding is there and up, as far as that is known."""
    look = case.look(finding.subject.names[0])
    device = look.device(finding.subject.part) if look is not None else None
    return _is_there(case, finding) and (device is None or device.up)


@diagnosis(
    "device.extra-address",
    Layer.UNDERLAY,
    severity=Severity.NOTE,
    finds="`ethN` has an address besides those that the lab gave it",
)
def extra_address(case: Case) -> Iterator[Found]:
    """A daemon that chooses its interface by its addresses may take it."""
    for node, look in case.each():
        for index, own in enumerate(interfaces(node, case.seen.segments)):
            device = look.device(f"eth{index}")
            given = {str(item) for item in own.every}
            extra = [it for it in device.addresses if it not in given] if device is not None else []
            if device is not None and extra and given & set(device.addresses):
                evidence = (
                    f"{device.name}: {', '.join(device.addresses)}",
                    f"the lab gave it: {', '.join(sorted(given))}",
                )
                fix = tuple(
                    case.on(node.name, "ip", "address", "delete", it, "dev", device.name) for it in extra
                )
                yield Found(node.name, f"{device.name} has more addresses than its own", evidence, fix)


@diagnosis(
    "device.mtu",
    Layer.DEVICE,
    finds="MTUs that do not go together along the way of a packet: between machines on one segment, from "
    "`ethN` to flannel's device, docker0 and the pods",
)
def mtu(case: Case) -> Iterator[Found]:
    """On a segment the smallest counts: nobody there tells a sender that its packet was too big."""
    told = set()
    for finding in case.failing("underlay.mtu"):
        (name,), device = finding.subject.names, finding.subject.part
        if _is_there(case, finding):
            told.add((name, device))
            fix = [case.on(name, "ip", "link", "set", device, "mtu", finding.expected.text)]
            yield Found(name, f"{device} has the wrong MTU", texts(finding), fix, layer=Layer.UNDERLAY)
    yield from _segments(case, told)
    for finding in case.failing("overlay.mtu", "docker0.mtu"):
        (name,), device = finding.subject.names, finding.subject.part
        if _is_there(case, finding):
            yield Found(name, f"{device} has the wrong MTU", texts(finding), [_anew(case, name, device)])
    for finding in case.failing("pod.mtu"):
        (name,) = finding.subject.names
        if finding.seen.data is None:
            continue  # the pod has ended: see pod.down
        fix = [case.lab("pod", "rm", name), f"# and make it anew: {case.lab('pod', 'create', '-f', 'FILE')}"]
        yield Found(name, "the pod's MTU is not docker0's", texts(finding), fix)


def _segments(case: Case, told: set[tuple[str, str]]) -> Iterator[Found]:
    on: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
    for node, _, device in case.underlay():
        place = node.attachments[int(device.name.removeprefix("eth"))]
        on[place.segment].append((node.name, device.name, device.mtu))
    for places in on.values():
        mtus = [size for _, _, size in places]
        usual = max(set(mtus), key=lambda size: (mtus.count(size), size))
        for name, port, size in places:
            if size != usual and (name, port) not in told:
                others = ", ".join(f"{it} {its}" for it, _, its in places if it != name)
                evidence = (f"{name} {port}: mtu {size}", f"others on its segment: {others}")
                again = (case.on(name, "ip", "link", "set", port, "mtu", str(usual)),)
                yield Found(
                    name, f"{port}'s MTU is not that of its segment", evidence, again, layer=Layer.UNDERLAY
                )


@diagnosis(
    "device.duplicate",
    Layer.UNDERLAY,
    start=True,
    finds="Two machines with the same MAC or IP address in the underlay",
)
def duplicate(case: Case) -> Iterator[Found]:
    """Their packets go now to the one, now to the other."""
    owners: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for node, _, device in case.underlay():
        segment = node.attachments[int(device.name.removeprefix("eth"))].segment
        for what in (device.mac, *(str(ip_interface(it).ip) for it in device.addresses)):
            if what:
                owners[segment, what].append((node.name, device.name))
    for (_, what), places in owners.items():
        if len({name for name, _ in places}) > 1:
            evidence = tuple(f"{name} {device}: {what}" for name, device in places)
            fix = tuple(case.on(name, "ip", "address", "show", "dev", device) for name, device in places)
            names = " and ".join(name for name, _ in places)
            yield Found(places[0][0], f"{names} have the same address", evidence, fix)


@diagnosis(
    "device.flaps",
    Layer.UNDERLAY,
    severity=Severity.NOTE,
    finds="`ethN` has lost its carrier five times or more since it was made",
)
def flaps(case: Case) -> Iterator[Found]:
    """The kernel counts it."""
    for node, look, device in case.underlay():
        if device.lost >= OFTEN:
            path = f"/sys/class/net/{device.name}/carrier_down_count"
            up = f"the machine's kernel has been up for {look.boot:.0f} s"
            fix = (
                case.on(node.name, "ip", "monitor", "link", "dev", device.name),
                case.on(node.name, "cat", path),
            )
            yield Found(
                node.name,
                f"{device.name} has lost its carrier {device.lost} times",
                (f"{path}: {device.lost}", up),
                fix,
            )
