"""The faults of the catalogue, and what each has to be named as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "ETCD", "ONE", "TWO", "Case"]

ETCD, ONE, TWO = "centos-master", "centos-minion01", "centos-minion02"


@dataclass(frozen=True)
class Case:
    """A fault, and the names that say what it is."""

    fault: str
    targets: tuple[str, ...]
    names: frozenset[str]
    """Reasons of `lab trace`, and identifiers of `lab doctor`: one of them has to come first."""
    at: tuple[str, ...]
    """Where: a machine, or for a doctor's finding also a key or a pod."""
    options: Mapping[str, Any] = field(default_factory=dict)
    repaired: bool = False
    """Whether a daemon may have put it right before anybody looks."""
    looks: int = 1
    """How often one looks at what comes and goes."""

    @property
    def title(self) -> str:
        """As it is typed."""
        words = [f"--{name.replace('_', '-')}" + (f" {value}" if value is not True else "")
                 for name, value in self.options.items()]  # fmt: skip
        return " ".join([self.fault, *self.targets, *words])


def case(
    fault: str,
    names: str,
    *targets: str,
    at: tuple[str, ...] = (),
    anywhere: bool = False,
    repaired: bool = False,
    looks: int = 1,
    **options: Any,
) -> Case:
    """One that is to be named at its targets, unless another place is named, or any will do."""
    machines = () if anywhere else tuple(target.partition("/")[0] for target in targets)
    return Case(fault, targets, frozenset(names.split()), at or machines, options, repaired, looks)


QUEUES = "TRAFFIC_CONTROL"
GONE = "unit.down unit.crashes machine.silent"
LEASES = "lease.another-owner lease.value lease.permanent lease.missing lease.bad-value lease.overlap"

CASES = (
    case("ip-forward-off", "NOT_FORWARDING", ONE),
    case("rp-filter", "SOURCE_CHECK kernel.rp-filter", ONE),
    case("forward-drop", "firewall.forward-policy FW_RULE", ONE),
    case("forward-drop", "FW_RULE", TWO, everything=True),
    case("iptables-flush", "firewall.masquerade", ONE, repaired=True),
    case("nft-flush", "firewall.masquerade", ONE, repaired=True),
    case("masquerade-missing", "firewall.masquerade", ONE, repaired=True),
    case("pmtu-blackhole", "firewall.packet-too-big", ONE),
    case("route-delete", "NO_ROUTE route.overlay", ONE, repaired=True),
    case("segment-route-delete", "NO_ROUTE route.segment", ONE, repaired=True),
    case("neighbour-delete", "ARP_FAIL", ONE, repaired=True),
    case("fdb-delete", "FDB_MISS", TWO, repaired=True),
    case("device-down", "LINK_DOWN", ONE),
    case("device-down", "LINK_DOWN", TWO, device="docker0"),
    case("mtu", "MTU device.mtu", ONE),
    case("mtu", "MTU device.mtu", TWO, device="docker0"),
    case("peer-replaced", "ARP_FAIL", ONE, at=(ONE, TWO), repaired=True),
    case(
        "address-change",
        "SOURCE_CHECK FW_RULE ARP_FAIL WRONG_ADDRESS device.address",
        ONE,
        at=(ONE, TWO),
        repaired=True,
    ),
    case("docker0-wrong-address", "WRONG_ADDRESS WRONG_ROUTE", ONE),
    case("partition", QUEUES, ONE, TWO),
    case("partition", QUEUES, ONE, TWO, one_way=True),
    case("partition-etcd", "etcd.unreachable queue.filter queue.xdp", ONE),
    case("delay", QUEUES, ONE),
    case("delay", QUEUES, TWO, direction="in"),
    case("loss", QUEUES, ONE),
    case("loss", QUEUES, TWO, direction="in"),
    case("rate", QUEUES, ONE),
    case("duplicate", QUEUES, ONE),
    case("reorder", QUEUES, TWO),
    case("corrupt", QUEUES, TWO),
    case("flap", "LINK_DOWN device.down device.flaps", ONE, looks=5),
    case("daemon-pause", "NO_DAEMON unit.paused", ONE),
    case("unit-pause", "unit.paused", f"{ONE}/docker"),
    case("etcd-stop", f"{GONE} etcd.health etcd.unreachable", ETCD),
    case("etcd-pause", "unit.paused etcd.health etcd.unreachable", ETCD),
    case("node-pause", GONE, ONE),
    case("lease-permanent", LEASES, ONE, anywhere=True),
    case("lease-steal", LEASES, ONE, anywhere=True, looks=10),
    case("lease-overwrite", LEASES, ONE, anywhere=True, repaired=True),
    case("config-change", "config.value", set="Backend.Type=alloc"),
    case("config-break", "config.value"),
    case("config-remove", "config.value"),
    case("subnet-exhaustion", "lease.exhausted"),
    case("etcd-bad-key", "lease.bad-key"),
    case("etcd-bad-value", "lease.bad-value"),
    case("disk-full", "disk.flannel", ONE),
    case("disk-read-only", "disk.flannel", ONE),
    case("clock-skew", "clock.process", f"{ONE}/flanneld"),
    case("port-busy", "port.busy", ONE),
    case("unit-stop", GONE, f"{ONE}/flanneld"),
)
"""In such an order that what takes daemons long to get over comes last."""
