"""What the machines' packet filters drop that has to pass, and what they should rewrite and do not."""

from collections.abc import Iterator, Sequence

from lab.doctor.case import Case
from lab.doctor.catalog.routes import tunnel_port
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.nftables import Rule
from lab.doctor.packet_filter import Drop, Packet
from lab.doctor.packet_filter import drops as every_drop
from lab.doctor.registry import diagnosis
from lab.doctor.seen import Look
from lab.node.etcd import CLIENT_PORT
from lab.observe import NodeObservation
from lab.spec.segment import Family

IP = {4: "ip", 6: "ip6"}

TOO_BIG: tuple[Packet, ...] = (
    {
        "family": "ip",
        "l4proto": frozenset({"icmp", 1}),
        "type": frozenset({"destination-unreachable", 3}),
        "code": frozenset({"frag-needed", 4}),
    },
    {
        "family": "ip6",
        "l4proto": frozenset({"icmpv6", "ipv6-icmp", 58}),
        "type": frozenset({"packet-too-big", 2}),
        "code": frozenset({"no-route", 0}),
    },
)
"""The messages that path MTU discovery works by (RFC 1191, RFC 8201)."""


def _blocked(case: Case, node: str, drops: Sequence[Drop], what: str) -> Found:
    evidence = [f"{drop.words}{_count(drop)}" for drop in drops]
    return Found(node, what, evidence, [case.on(node, *drop.fix) for drop in drops])


def _count(drop: Drop) -> str:
    packets = drop.rule.packets if drop.rule is not None and drop.rule.text else None
    return f" ({packets} packets)" if packets is not None else ""


@diagnosis(
    "firewall.forward",
    Layer.FIREWALL,
    finds="A rule or a chain's policy that drops what pods send each other from machine to machine "
    "(nftables, and iptables-nft)",
)
def forward(case: Case) -> Iterator[Found]:
    """A connection that begins: from a pod here to one there, and the other way."""
    for node in case.seen.overlay:
        look = case.look(node.name)
        if look is None or look.rules is None or look.legacy:
            continue
        for family in case.spec.families:
            for words, drops in _forwarded(case, node, look, family):
                what = f"packets {words} its pods are dropped while they are forwarded"
                yield _blocked(case, node.name, drops, what)


def _forwarded(
    case: Case, node: NodeObservation, look: Look, family: Family
) -> Iterator[tuple[str, Sequence[Drop]]]:
    """What drops packets from its pods, or, if that is something else, to them."""
    here = case.pods_of(node, family)
    device = case.spec.backend.device_name(case.spec.backend_config, family) or "eth0"
    known: Packet = {"family": IP[family], "state": "new", "l4proto": frozenset({"tcp", 6})}
    told: dict[str, Drop] = {}
    for words in ("from", "to"):
        found: dict[str, Drop] = {}
        for other in case.seen.overlay:
            there = case.pods_of(other, family)
            if here is None or there is None or other.name == node.name or look.rules is None:
                continue
            if not case.seen.is_led(node.name, other.name):
                continue
            pods, others = ("docker0", str(here[2])), (device, str(there[2]))
            (into, source), (out, target) = (pods, others) if words == "from" else (others, pods)
            way: Packet = {"iifname": into, "oifname": out, "saddr": source, "daddr": target}
            found |= {drop.words: drop for drop in every_drop(look.rules, "forward", {**known, **way})}
        new = [drop for key, drop in found.items() if key not in told]
        told |= found
        if new:
            yield words, new


@diagnosis(
    "firewall.forward-policy",
    Layer.FIREWALL,
    severity=Severity.NOTE,
    finds="A FORWARD chain that drops what no rule accepts, while rules do accept pods' packets",
)
def forward_policy(case: Case) -> Iterator[Found]:
    """As Docker sets it since 1.13: all depends on flannel's rules, which 0.5.5 does not make."""
    blocked = {found.subject for found in forward(case)}
    for node in case.seen.overlay:
        look = case.look(node.name)
        if look is None or look.rules is None or node.name in blocked:
            continue
        for family in case.spec.families:
            for chain in look.rules.at("forward", IP[family]):
                if chain.policy == "drop":
                    drop = Drop(chain, None)
                    what = f"{chain.name} drops what no rule accepts; pods' packets are accepted by a rule"
                    yield Found(node.name, what, (drop.words,), (case.on(node.name, *drop.fix),))


@diagnosis(
    "firewall.underlay",
    Layer.FIREWALL,
    start=True,
    finds="A rule or a policy that drops what another machine's flannel, or etcd, sends to this machine, or "
    "this one to it",
)
def underlay(case: Case) -> Iterator[Found]:
    """Datagrams of the tunnel, and the packets of connections to etcd."""
    port = tunnel_port(case.spec.flannel_config, case.spec.backend.name)
    for node in case.seen.minions:
        look = case.look(node.name)
        if look is None or look.rules is None:
            continue
        seen: set[str] = set()
        for what, hook, packet in _of_underlay(case, node, port):
            new = [drop for drop in every_drop(look.rules, hook, packet) if drop.words not in seen]
            seen |= {drop.words for drop in new}
            if new:
                yield _blocked(case, node.name, new, f"{what} are dropped")


def _of_underlay(case: Case, node: NodeObservation, port: int | None) -> Iterator[tuple[str, str, Packet]]:
    mine, family = str(node.address), IP[node.address.version]
    for other in case.seen.minions:
        if other.name == node.name or port is None or other.address.version != node.address.version:
            continue
        known: Packet = {"family": family, "l4proto": frozenset({"udp", 17}), "dport": port}
        there = str(other.address)
        name = f"flannel's packets from {other.name}"
        yield name, "input", {**known, "saddr": there, "daddr": mine, "iifname": "eth0"}
        yield (
            f"flannel's packets to {other.name}",
            "output",
            {**known, "saddr": mine, "daddr": there, "oifname": "eth0"},
        )
        yield name, "ingress", {**known, "saddr": there, "daddr": mine, "iifname": "eth0"}
    for member in case.seen.running("etcd"):
        if member.address.version != node.address.version or member.name == node.name:
            continue
        known = {"family": family, "l4proto": frozenset({"tcp", 6})}
        there = str(member.address)
        back: Packet = {
            **known,
            "saddr": there,
            "daddr": mine,
            "sport": CLIENT_PORT,
            "iifname": "eth0",
            "state": "established",
        }
        to: Packet = {
            **known,
            "saddr": mine,
            "daddr": there,
            "dport": CLIENT_PORT,
            "oifname": "eth0",
            "state": "new",
        }
        yield f"etcd's answers from {member.name}", "input", back
        yield f"requests to etcd on {member.name}", "output", to


@diagnosis(
    "firewall.packet-too-big",
    Layer.FIREWALL,
    finds="A rule that drops ICMP's fragmentation needed or ICMPv6's packet too big: what is too big for a "
    "smaller MTU on the way is lost for good",
)
def packet_too_big(case: Case) -> Iterator[Found]:
    """Where it arrives, where it is forwarded, and where it is sent."""
    for node, look in case.each():
        if look.rules is None:
            continue
        drops: list[Drop] = []
        for packet in TOO_BIG:
            if packet["family"] == "ip6" and not case.spec.has_ipv6:
                continue
            for hook in ("ingress", "prerouting", "input", "forward", "output", "postrouting"):
                # A policy, or a rule about everything, is not about these messages.
                drops += [
                    it for it in every_drop(look.rules, hook, packet) if it.rule and _is_about_icmp(it.rule)
                ]
        if drops:
            what = "messages that a packet is too big are dropped: where the MTU is smaller, connections hang"
            evidence = tuple(dict.fromkeys(drop.words for drop in drops))
            fix = tuple(dict.fromkeys(case.on(node.name, *drop.fix) for drop in drops))
            yield Found(node.name, what, evidence, fix)


def _is_about_icmp(rule: Rule) -> bool:
    return "icmp" in str(rule.expressions) or "icmp" in rule.text
