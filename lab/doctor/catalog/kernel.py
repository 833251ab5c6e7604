"""Settings and limits of the machines' kernels that forwarding depends on."""

from collections.abc import Iterator

from lab.doctor.case import Case
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.questions import devices_of
from lab.doctor.registry import diagnosis
from lab.doctor.seen import Look
from lab.spec import NodeSpec

STRICT = 1
"""RFC 3704's strict mode (ip-sysctl.rst)."""

NEARLY = 0.9
"""Of a table's size."""


def _forwards(node: NodeSpec) -> bool:
    """Whether packets of others pass it: those of its pods, or of other segments."""
    return node.runs("docker") or node.router


@diagnosis(
    "kernel.ip-forward",
    Layer.KERNEL,
    start=True,
    finds="A machine with pods, or a router, whose kernel forwards nothing, or nothing that one of its "
    "devices gets",
)
def ip_forward(case: Case) -> Iterator[Found]:
    """net.ipv4.ip_forward, each device's own setting, and IPv6's where the overlay has it."""
    for node, look in case.each():
        if not _forwards(node):
            continue
        off = ["net/ipv4/ip_forward"] if look.number("net/ipv4/ip_forward") == 0 else []
        if not off:
            each = (f"net/ipv4/conf/{device}/forwarding" for device in devices_of(case.spec, node))
            off = [path for path in each if look.number(path) == 0]
        # Docker leaves IPv6 as it is; only an overlay of IPv6 needs it.
        six = "net/ipv6/conf/all/forwarding"
        if 6 in case.spec.families and look.number(six) == 0:
            off.append(six)
        if off:
            evidence = tuple(f"{path.replace('/', '.')} = 0" for path in off)
            fix = tuple(case.on(node.name, "sysctl", "-w", f"{path.replace('/', '.')}=1") for path in off)
            yield Found(node.name, "its kernel does not forward packets", evidence, fix)


@diagnosis(
    "kernel.rp-filter",
    Layer.KERNEL,
    severity=Severity.NOTE,
    finds="A device with strict reverse path filtering: it drops what comes by another way than the answer "
    "would take",
)
def rp_filter(case: Case) -> Iterator[Found]:
    """The greater of `all` and the device's own counts."""
    for node, look in case.each():
        if not (node.runs("flanneld") or _forwards(node)):
            continue
        strict = [device for device in devices_of(case.spec, node) if _rp_filter(look, device) == STRICT]
        if strict:
            paths = ["net/ipv4/conf/all/rp_filter", *(f"net/ipv4/conf/{it}/rp_filter" for it in strict)]
            paths = [path for path in paths if look.number(path) == STRICT]
            evidence = tuple(f"{path.replace('/', '.')} = 1" for path in paths)
            fix = tuple(case.on(node.name, "sysctl", "-w", f"{path.replace('/', '.')}=0") for path in paths)
            what = (
                f"packets that come to {', '.join(strict)} by another way than their answers take are dropped"
            )
            yield Found(node.name, what, evidence, fix)


def _rp_filter(look: Look, device: str) -> int:
    own = look.number(f"net/ipv4/conf/{device}/rp_filter")
    return max(own, look.number("net/ipv4/conf/all/rp_filter") or 0) if own is not None else 0


@diagnosis(
    "kernel.conntrack",
    Layer.KERNEL,
    start=True,
    finds="The table of connections is nearly full: new ones are dropped then",
)
def conntrack(case: Case) -> Iterator[Found]:
    """Nine tenths of it."""
    for node, look in case.each():
        count, most = (look.number(f"net/netfilter/nf_conntrack_{word}") for word in ("count", "max"))
        if count is not None and most and count >= NEARLY * most:
            evidence = (f"nf_conntrack_count = {count}, nf_conntrack_max = {most}",)
            fix = (
                case.on(node.name, "conntrack", "-F"),
                f"sysctl -w net.netfilter.nf_conntrack_max={2 * most}  # on the host",
            )
            yield Found(node.name, "its table of connections is nearly full", evidence, fix)


@diagnosis(
    "kernel.checksums",
    Layer.KERNEL,
    severity=Severity.NOTE,
    finds="Packets that have arrived with a wrong checksum: altered on their way, or never given one "
    "(transmit checksum offload below vxlan)",
)
def checksums(case: Case) -> Iterator[Found]:
    """InCsumErrors of /proc/net/snmp, since the machine has booted."""
    for node, look in case.each():
        if look.checksum_errors:
            evidence = tuple(f"{name} InCsumErrors {count}" for name, count in look.checksum_errors.items())
            fix = [case.shell(node.name, "grep -E '^(Tcp|Udp|Icmp):' /proc/net/snmp")]
            if case.spec.backend.name == "vxlan":
                fix.append("# flanneld's option, in the lab file: -vxlan-tx-checksum=off")
            yield Found(node.name, "packets have arrived with a wrong checksum", evidence, fix)
