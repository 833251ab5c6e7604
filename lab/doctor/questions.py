"""What `lab doctor` asks of each machine besides what `lab check` asks. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab import packet_filter
from lab.node.etcd import CLIENT_PORT
from lab.observe import Topic
from lab.spec import LabSpec, NodeSpec
from lab.spec.node import FROM_SUBNET_ENV

__all__ = [
    "FLANNEL_FOLDER",
    "LINES",
    "TOPICS",
    "UNIT_PROPERTIES",
    "devices_of",
    "of_node",
    "underlay_devices",
]

TOPICS = frozenset(
    {
        *(Topic.SERVICES, Topic.DIALECT, Topic.CONFIG, Topic.LEASES, Topic.LINKS, Topic.ROUTES),
        *(Topic.ROUTES6, Topic.NEIGHBOURS, Topic.FDB, Topic.SUBNET_ENV, Topic.PODS, Topic.POD_LINKS),
    }
)
"""What is asked as `lab check` asks it: all but pings and logins, which take their time where they fail."""

FLANNEL_FOLDER = "/run/flannel"
"""Of subnet.env."""

LINES = 8
"""Of each unit's log."""

UNIT_PROPERTIES = (
    *("Id", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "StatusText"),
    *("ActiveEnterTimestampMonotonic", "InactiveExitTimestampMonotonic"),
)

SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/*/rp_filter",
    "net/ipv4/conf/*/forwarding",
    "net/ipv6/conf/all/forwarding",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
)

COMMANDS: Mapping[str, Sequence[str]] = {
    "links": ("ip", "-json", "-details", "address", "show"),
    "routes4": ("ip", "-json", "-4", "route", "show"),
    "routes6": ("ip", "-json", "-6", "route", "show"),
    "neighbours": ("ip", "-json", "neighbour", "show"),
    "qdiscs": ("tc", "-json", "qdisc", "show"),
    **packet_filter.COMMANDS,
    "sockets": ("ss", "--no-header", "--udp", "--tcp", "--listening", "--numeric", "--processes"),
    "boot": ("systemctl", "show", "--property=UserspaceTimestampMonotonic"),
}

ETCD = ("env", "ETCDCTL_API=3", "etcdctl")


def underlay_devices(node: NodeSpec) -> tuple[str, ...]:
    """A node's interfaces in the underlay."""
    return tuple(f"eth{index}" for index in range(len(node.attachments)))


def devices_of(spec: LabSpec, node: NodeSpec) -> tuple[str, ...]:
    """The devices that pods' packets pass on a node: the underlay's, flannel's, Docker's."""
    flannel = {spec.backend.device_name(spec.backend_config, family) for family in spec.families}
    own = sorted(flannel - {""}) if node.runs("flanneld") else []
    return (*underlay_devices(node), *own, *(["docker0"] if node.runs("docker") else []))


def of_node(spec: LabSpec, node: NodeSpec, seconds: float) -> Mapping[str, Any]:
    """The argument of `lab.doctor.inside.look` on a node; each thing has so many seconds."""
    commands = {name: list(argv) for name, argv in COMMANDS.items()}
    commands["units"] = [
        *("systemctl", "show", f"--property={','.join(UNIT_PROPERTIES)}"),
        *(f"{unit}.service" for unit in node.watched),
    ]
    for unit in node.watched:
        fields = "--output-fields=MESSAGE,_PID"
        match = f"_SYSTEMD_UNIT={unit}.service"
        commands[f"log {unit}"] = [
            *("journalctl", "--quiet", "--no-pager", "--output=json", fields, f"--lines={LINES}", match),
        ]
    for device in devices_of(spec, node):
        for direction in ("ingress", "egress"):
            argv = ["tc", "-json", "filter", "show", "dev", device, direction]
            commands[f"filter {device} {direction}"] = argv
    if node.runs("etcd"):
        patience = f"--command-timeout={seconds / 2:g}s"
        commands["etcd health"] = [*ETCD, patience, "endpoint", "health"]
        commands["etcd status"] = [*ETCD, patience, "endpoint", "status", "--write-out=json"]
        commands["etcd alarms"] = [*ETCD, patience, "alarm", "list"]
    flanneld = node.runs("flanneld")
    follows = node.runs("docker") and node.docker.bip == FROM_SUBNET_ENV
    return {
        "commands": commands,
        "sysctls": SYSCTLS,
        "units": node.watched,
        "folders": [*([FLANNEL_FOLDER] if flanneld or follows else []), "/", "/var"],
        "reach": _members(spec) if flanneld else {},
        "readyz": spec.readyz_url(node),
        "seconds": seconds,
    }


def _members(spec: LabSpec) -> Mapping[str, tuple[str, int]]:
    """Where each member of etcd is: machines know each other by name (/etc/hosts)."""
    return {member.name: (member.name, CLIENT_PORT) for member in spec.running("etcd")}
