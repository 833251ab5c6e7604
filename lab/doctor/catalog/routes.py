"""Routes, neighbours and FDB entries, and ports."""

from collections.abc import Iterator
from ipaddress import ip_interface, ip_network

from lab.doctor.case import Case, short, texts
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.registry import diagnosis
from lab.spec.segment import interfaces, routes


@diagnosis(
    "port.busy",
    Layer.UNDERLAY,
    start=True,
    finds="Another process has the UDP port that flannel's packets come to",
)
def port_busy(case: Case) -> Iterator[Found]:
    """With vxlan and wireguard it is the kernel's: then no process has it."""
    port = case.spec.tunnel_port
    for node, look in case.each():
        unit = look.units.get("flanneld")
        if unit is None or port is None:
            continue
        own = {item.pid for item in unit.processes} | {unit.pid}
        for holder in look.holders:
            if holder.protocol == "udp" and holder.port == port and holder.pid not in own:
                evidence = (
                    f"udp port {port}: process {holder.pid} ({holder.process})",
                    *(f"flanneld: {short(it)}" for it in unit.log[-1:]),
                )
                fix = (
                    case.on(node.name, "kill", str(holder.pid)),
                    case.on(node.name, "systemctl", "restart", "flanneld"),
                )
                yield Found(node.name, f"{holder.process} has flannel's port {port}", evidence, fix)
                break


@diagnosis(
    "route.segment",
    Layer.UNDERLAY,
    finds="A machine without a route to its own segment, or to another one that a router leads to",
)
def segment(case: Case) -> Iterator[Found]:
    """What the kernel makes with the address, and what the lab adds."""
    for node, look in case.each():
        for index, own in enumerate(interfaces(node, case.seen.segments)):
            device = look.device(f"eth{index}")
            for address in own.every:
                there = (look.routes or {}).get(address.version)
                single = address.network.prefixlen == address.max_prefixlen
                if (
                    there is None
                    or device is None
                    or not device.up
                    or single
                    or str(address) not in device.addresses
                ):
                    continue
                if not _leads(there, str(address.network)):
                    words = (
                        "ip",
                        f"-{address.version}",
                        "route",
                        "add",
                        str(address.network),
                        "dev",
                        device.name,
                    )
                    source = ("src", str(ip_interface(address).ip)) if address.version == 4 else ()
                    evidence = (f"ip route show {address.network}: nothing",)
                    yield Found(
                        node.name,
                        "it has no route to its own segment",
                        evidence,
                        (case.on(node.name, *words, *source),),
                    )
        for way in routes(node, case.spec.nodes, case.seen.segments):
            there = (look.routes or {}).get(way.to.version)
            if there is not None and not _leads(there, str(way.to)):
                by = ("dev", way.via) if isinstance(way.via, str) else ("via", str(way.via))
                fix = (case.on(node.name, "ip", f"-{way.to.version}", "route", "add", str(way.to), *by),)
                evidence = (f"ip route show {way.to}: nothing",)
                yield Found(node.name, f"it has no route to the segment {way.to}", evidence, fix)


def _leads(there: tuple[str, ...], network: str) -> bool:
    """Whether one of these routes leads to all of a network, and not because it leads everywhere."""
    wanted = ip_network(network)
    return any(
        target.version == wanted.version and wanted.subnet_of(target)  # type: ignore[arg-type]
        for target in (ip_network(it) for it in there if it != "default")
    )


@diagnosis(
    "route.overlay",
    Layer.ROUTE,
    finds="Routes to other machines' subnets that are missing, wrong or left over",
)
def overlay(case: Case) -> Iterator[Found]:
    """As flannel makes them for the leases."""
    for finding in case.failing("routes.overlay"):
        (name,) = finding.subject.names
        yield _compared(case, name, finding.expected.text, finding.seen.text, "routes into the overlay")


def _compared(case: Case, name: str, expected: str, seen: str, what: str) -> Found:
    wanted, there = ({line for line in side.splitlines() if line != "none"} for side in (expected, seen))
    lacks, extra = sorted(wanted - there), sorted(there - wanted)
    evidence = (*(f"missing: {line}" for line in lacks), *(f"not expected: {line}" for line in extra))
    words = " and ".join(word for word, which in (("lacks", lacks), ("has wrong", extra)) if which)
    return Found(name, f"it {words} {what}", evidence, (case.on(name, "systemctl", "restart", "flanneld"),))


@diagnosis(
    "route.neighbours", Layer.ROUTE, finds="vxlan: neighbours of flannel's device that are missing or wrong"
)
def neighbours(case: Case) -> Iterator[Found]:
    """The MAC address of each other machine's device."""
    for finding in case.failing("overlay.neighbours"):
        (name,) = finding.subject.names
        yield _compared(
            case, name, finding.expected.text, finding.seen.text, f"neighbours on {finding.subject.part}"
        )


@diagnosis("route.fdb", Layer.ROUTE, finds="vxlan: FDB entries of flannel's device that are missing or wrong")
def fdb(case: Case) -> Iterator[Found]:
    """Which machine each of those MAC addresses is behind."""
    for finding in case.failing("overlay.fdb"):
        (name,) = finding.subject.names
        yield _compared(
            case, name, finding.expected.text, finding.seen.text, f"FDB entries on {finding.subject.part}"
        )


@diagnosis(
    "route.stale-neighbour",
    Layer.UNDERLAY,
    severity=Severity.NOTE,
    finds="A machine that takes another one to have a MAC address that it does not have, or gets no answer "
    "from it",
)
def stale_neighbour(case: Case) -> Iterator[Found]:
    """The MAC may have changed; an entry without an end stays wrong."""
    macs = {
        str(ip_interface(address).ip): (node.name, device.mac)
        for node, _, device in case.underlay()
        for address in device.addresses
    }
    for node, look in case.each():
        for entry in look.neighbours:
            owner, mac = macs.get(entry.address, ("", ""))
            if not owner or owner == node.name:
                continue
            fix = (case.on(node.name, "ip", "neighbour", "delete", entry.address, "dev", entry.device),)
            line = f"{entry.address} dev {entry.device} lladdr {entry.mac or '?'} {entry.state}"
            if entry.mac and entry.mac != mac:
                severity = Severity.MEND if "PERMANENT" in entry.state else Severity.NOTE
                evidence = (f"ip neighbour: {line}", f"{owner} has {mac}")
                yield Found(node.name, f"it has an old MAC address of {owner}", evidence, fix, severity)
            elif entry.state == "FAILED":
                fix = (case.on(node.name, "ping", "-c", "1", "-W", "2", entry.address),)
                yield Found(
                    node.name,
                    f"{owner} has not answered who has {entry.address}",
                    (f"ip neighbour: {line}",),
                    fix,
                )


@diagnosis("route.subnet-env", Layer.ROUTE, finds="subnet.env is missing, or is not what the lease says")
def subnet_env(case: Case) -> Iterator[Found]:
    """Docker is started with it."""
    for finding in case.failing("subnet-env.text"):
        (name,) = finding.subject.names
        fix = (case.on(name, "systemctl", "restart", "flanneld"),)
        yield Found(name, "subnet.env is not what its lease says", texts(finding), fix)
