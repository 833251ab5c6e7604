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

    @property
    def title(self) -> str:
        """As it is typed."""
        words = [f"--{name.replace('_', '-')}" + (f" {value}" if value is not True else "")
                 for name, value in self.options.items()]  # fmt: skip
        return " ".join([self.fault, *self.targets, *words])


def case(
    fault: str, names: str, *targets: str, at: tuple[str, ...] = (), repaired: bool = False, **options: Any
) -> Case:
    machines = tuple(target.partition("/")[0] for target in targets)
    return Case(fault, targets, frozenset(names.split()), at or machines, options, repaired)


QUEUES = "TRAFFIC_CONTROL"
GONE = "unit.stopped node.answers service.active machine.silent"
LEASES = "lease.another-owner lease.value lease.permanent lease.near-expiry leases.subnets lease.overlap"

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
    case("mtu", "MTU", ONE),
    case("mtu", "MTU", TWO, device="docker0"),
    case("peer-replaced", "ARP_FAIL", ONE, TWO, repaired=True),
    case("address-change", "SOURCE_CHECK FW_RULE ARP_FAIL WRONG_ADDRESS", ONE, at=(ONE, TWO), repaired=True),
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
    case("flap", "LINK_DOWN device.flaps", ONE, repaired=True),
    case("daemon-pause", "NO_DAEMON unit.paused", ONE),
    case("unit-pause", "unit.paused", f"{ONE}/docker"),
    case("etcd-stop", f"{GONE} etcd.unreachable etcd.store", ETCD),
    case("etcd-pause", "unit.paused etcd.unreachable etcd.store", ETCD),
    case("node-pause", f"{GONE}", ONE),
    case("lease-permanent", LEASES, ONE),
    case("lease-steal", LEASES, ONE, repaired=True),
    case("lease-overwrite", LEASES, ONE, repaired=True),
    case("config-change", "config.value", ETCD, at=(), set="Backend.Type=alloc"),
    case("config-break", "config.value", at=(ETCD,)),
    case("config-remove", "config.value etcd.store", at=(ETCD,)),
    case("subnet-exhaustion", "lease.exhausted", at=(ETCD,)),
    case("etcd-bad-key", "etcd.store leases.subnets", at=(ETCD,)),
    case("etcd-bad-value", "etcd.store leases.subnets lease.value", at=(ETCD,)),
    case("disk-full", "disk.flannel", ONE),
    case("disk-read-only", "disk.flannel", ONE),
    case("clock-skew", "clock.process", f"{ONE}/flanneld"),
    case("port-busy", "port.busy", ONE),
    case("unit-stop", f"{GONE}", f"{ONE}/flanneld"),
)
"""In such an order that what takes daemons long to get over comes last."""
