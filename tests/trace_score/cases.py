"""The faults of the catalogue, and what each has to be named as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "ETCD", "LEFT_OUT", "ONE", "PAIRS", "TWO", "Case", "Pair"]

ETCD, ONE, TWO = "centos-master", "centos-minion01", "centos-minion02"


@dataclass(frozen=True)
class Case:
    """A fault, and the names that say what it is."""

    fault: str
    targets: tuple[str, ...]
    names: frozenset[str]
    """Reasons of `lab trace`, and identifiers of `lab doctor`: one of them has to come first."""
    at: tuple[str, ...]
    """Where: a machine, or for a doctor's finding also a key or a pod; or with a name, `LOST at a`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    repaired: bool = False
    """Whether a daemon may have put it right before anybody looks."""
    learned: bool = False
    """Whether it does no harm once other machines have learned of it, though it lasts."""
    looks: int = 1
    """How often one looks at what comes and goes."""
    ways: tuple[str, ...] = ()
    """Words that the title of a lab must have; without any, it is started in all but those of other cases."""

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
    learned: bool = False,
    looks: int = 1,
    ways: tuple[str, ...] = (),
    **options: Any,
) -> Case:
    """One that is to be named at its targets, unless another place is named, or any will do."""
    machines = () if anywhere else tuple(target.partition("/")[0] for target in targets)
    return Case(
        fault, targets, frozenset(names.split()), at or machines, options, repaired, learned, looks, ways
    )


QUEUES = "TRAFFIC_CONTROL"
GONE = "unit.down unit.crashes machine.silent"
LEASES = "lease.another-owner lease.value lease.permanent lease.missing lease.bad-value lease.overlap"
WITHDRAWN = f"{LEASES} lease.near-expiry NO_LEASE NO_ROUTE route.overlay"
"""A lease that is not there for a moment, or what other machines make of that."""
ANEW = f"unit.restarted {GONE}"
TUNNEL6 = "flannel-v6.1"
"""vxlan's device for IPv6."""
SIX = ("vxlan", "IPv6")
SEVERAL = ("members",)

CASES = (
    case("ip-forward-off", "NOT_FORWARDING", ONE),
    case("rp-filter", "SOURCE_CHECK kernel.rp-filter", ONE),
    case("forward-drop", "firewall.forward-policy firewall.forward FW_RULE", ONE),
    case("forward-drop", "FW_RULE", TWO, everything=True),
    case("iptables-flush", "firewall.masquerade firewall.docker", ONE, repaired=True),
    case("nft-flush", "firewall.masquerade firewall.docker", ONE, repaired=True),
    case("masquerade-missing", "firewall.masquerade", ONE, repaired=True),
    case("pmtu-blackhole", "firewall.packet-too-big", ONE),
    case("route-delete", "NO_ROUTE route.overlay", ONE, repaired=True),
    case("segment-route-delete", "NO_ROUTE route.segment", ONE, repaired=True),
    case("neighbour-delete", "ARP_FAIL route.neighbours", ONE, repaired=True),
    case("neighbour-delete", "ARP_FAIL route.neighbours", ONE, repaired=True, ways=SIX, device=TUNNEL6),
    case("fdb-delete", "FDB_MISS route.fdb", TWO, repaired=True),
    case("fdb-delete", "FDB_MISS route.fdb", TWO, repaired=True, ways=SIX, device=TUNNEL6),
    case("device-down", "LINK_DOWN device.down", ONE),
    case("device-down", "LINK_DOWN device.down", ONE, ways=SIX, repaired=True, device=TUNNEL6),
    case("device-down", "LINK_DOWN", TWO, device="docker0"),
    case("mtu", "MTU device.mtu", ONE),
    case("mtu", "MTU device.mtu", TWO, device="docker0"),
    case(
        "peer-replaced",
        "ARP_FAIL route.stale-neighbour",
        ONE,
        at=(ONE, TWO, ETCD),
        repaired=True,
        learned=True,
    ),
    case(
        "address-change",
        "SOURCE_CHECK FW_RULE ARP_FAIL WRONG_ADDRESS NO_ROUTE device.address",
        ONE,
        at=(ONE, TWO),
        repaired=True,
    ),
    case("address-add", "device.extra-address", ONE),
    case("docker0-wrong-address", "WRONG_ADDRESS WRONG_ROUTE device.address", ONE),
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
    case("lease-permanent", LEASES, ONE, anywhere=True, repaired=True),
    case("lease-steal", LEASES, ONE, anywhere=True, repaired=True, looks=10),
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
    case("crash-loop", f"unit.crashes {GONE}", f"{ONE}/flanneld", looks=5),
    case(
        "peer-vanished",
        "NO_LEASE NO_ROUTE unit.down",
        *(ONE, TWO),
        at=(f"NO_LEASE at {ONE}", f"NO_ROUTE at {ONE}", f"unit.down at {TWO}"),
        looks=5,
    ),
    case("etcd-member-loss", f"{GONE} etcd.health etcd.unreachable", TWO, ways=SEVERAL),
    # Events: they are done when one looks, and what is named is what they have left.
    case("etcd-leader-change", "", anywhere=True, repaired=True, ways=SEVERAL),
    case("lease-delete", WITHDRAWN, ONE, anywhere=True, repaired=True),
    case("lease-expire", WITHDRAWN, ONE, anywhere=True, repaired=True),
    case("etcd-wipe", f"{WITHDRAWN} config.value", anywhere=True, repaired=True),
    case("iface-down-up", "LINK_DOWN device.down device.flaps", ONE, repaired=True),
    case("device-delete", "NO_DEVICE NO_ROUTE device.missing unit.restarted", ONE, repaired=True),
    case("spoofed-datagram", "", TWO, repaired=True),
    case("oom", "memory.oom", f"{ONE}/flanneld"),
    case("unit-kill", ANEW, f"{TWO}/flanneld"),
    case("daemon-kill-9", ANEW, ONE),
    case("daemon-restart", ANEW, ONE),
    case("unit-restart", ANEW, f"{TWO}/docker"),
    case("dockerd-restart", ANEW, ONE),
    case("thundering-start", ANEW, ONE, TWO),
    case("node-reboot", f"{ANEW} pod.down", ONE, at=(ONE, "mysql02"), repaired=True),
    case("node-stop", GONE, ONE),
    case("node-kill", GONE, ONE),
)
"""In such an order that what takes daemons long to get over comes last."""

LEFT_OUT: Mapping[str, str] = {
    "etcd-compact": "it does no harm",
    "etcd-defragment": "it does no harm",
    "etcd-snapshot": "it does no harm",
    "etcd-restore": "it takes back what etcd-snapshot has kept: what it leaves is etcd-wipe's",
    "etcd-slow-disk": "refused",
    "conntrack-full": "refused",
    "cable-out": "refused",
}
"""The faults that no case has, and why."""


@dataclass(frozen=True)
class Pair:
    """Two at once, in the order of the way from the first minion's pod to the second's."""

    first: Case
    second: Case

    @property
    def title(self) -> str:
        """Both."""
        return f"{self.first.title} + {self.second.title}"


DROPS = "forward-drop"
NOT_FORWARDING = "NOT_FORWARDING kernel.ip-forward"

PAIRS = (
    Pair(
        case(DROPS, "FW_RULE", ONE, everything=True), case("device-down", "LINK_DOWN", TWO, device="docker0")
    ),
    Pair(case("ip-forward-off", NOT_FORWARDING, ONE), case("ip-forward-off", NOT_FORWARDING, TWO)),
    Pair(case("ip-forward-off", NOT_FORWARDING, ONE), case("mtu", "MTU", TWO, device="docker0")),
    Pair(case("delay", QUEUES, ONE), case(DROPS, "FW_RULE", TWO, everything=True)),
    Pair(case("loss", QUEUES, ONE), case("mtu", "MTU", TWO, device="docker0")),
    Pair(
        case("partition", QUEUES, ONE, TWO, at=(ONE,), one_way=True),
        case("ip-forward-off", NOT_FORWARDING, TWO),
    ),
    Pair(case("segment-route-delete", "NO_ROUTE route.segment", ONE), case("delay", QUEUES, TWO)),
    Pair(case("device-down", "LINK_DOWN device.down", ONE), case(DROPS, "FW_RULE", TWO, everything=True)),
    Pair(case("pmtu-blackhole", "firewall.packet-too-big", ONE), case("ip-forward-off", NOT_FORWARDING, TWO)),
    Pair(case("daemon-pause", "NO_DAEMON unit.paused", ONE), case(DROPS, "FW_RULE", TWO, everything=True)),
    Pair(
        case("route-delete", "NO_ROUTE route.overlay", ONE),
        case("daemon-pause", "NO_DAEMON unit.paused", ONE),
    ),
    Pair(
        case("neighbour-delete", "ARP_FAIL route.neighbours", ONE),
        case("daemon-pause", "NO_DAEMON unit.paused", ONE),
    ),
    Pair(case("fdb-delete", "FDB_MISS route.fdb", ONE), case("daemon-pause", "NO_DAEMON unit.paused", ONE)),
    Pair(
        case("lease-expire", WITHDRAWN, TWO, anywhere=True, looks=5),
        case("daemon-pause", "NO_DAEMON unit.paused", TWO),
    ),
)
