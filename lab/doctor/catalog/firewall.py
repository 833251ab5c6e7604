"""What the machines' packet filters drop that has to pass, and what they should rewrite and do not."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lab.doctor.case import Case
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.registry import diagnosis
from lab.doctor.seen import Look
from lab.node.etcd import CLIENT_PORT
from lab.observe import NodeObservation
from lab.packet_filter import Drop, Facts, Rule
from lab.packet_filter import drops as every_drop
from lab.spec.segment import Family

TOO_BIG = (
    Facts(
        family=4,
        protocol="icmp",
        kind=frozenset({"destination-unreachable", 3}),
        code=frozenset({"frag-needed", 4}),
    ),
    Facts(
        family=6,
        protocol="icmp",
        kind=frozenset({"packet-too-big", 2}),
        code=frozenset({"no-route", 0}),
    ),
)
"""The messages that path MTU discovery works by (RFC 1191, RFC 8201)."""


def _blocked(case: Case, node: str, drops: Sequence[Drop], what: str) -> Found:
    evidence = [_told(drop) for drop in drops]
    return Found(node, what, evidence, [case.on(node, *drop.fix) for drop in drops])


def _told(drop: Drop) -> str:
    packets = drop.rule.packets if drop.rule is not None else None
    return f"{drop.words} ({packets} packets)" if packets is not None else drop.words


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
    known = Facts(family=family, state="new", protocol="tcp")
    told: dict[str, Drop] = {}
    for words in ("from", "to"):
        found: dict[str, Drop] = {}
        for other in case.seen.overlay:
            there = case.pods_of(other, family)
            if here is None or there is None or other.name == node.name or look.rules is None:
                continue
            if not case.seen.is_led(node.name, other.name):
                continue
            pods, others = ("docker0", here[2]), (device, there[2])
            (into, source), (out, target) = (pods, others) if words == "from" else (others, pods)
            packet = replace(known, into=into, out=out, source=source, destination=target)
            found |= {drop.words: drop for drop in every_drop(look.rules, "forward", packet)}
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
            for chain in look.rules.at("forward", family):
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
    port = case.spec.tunnel_port
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


def _of_underlay(case: Case, node: NodeObservation, port: int | None) -> Iterator[tuple[str, str, Facts]]:
    mine = node.address
    for other in case.seen.minions:
        there = other.address
        if other.name == node.name or port is None or there.version != mine.version:
            continue
        known = Facts(family=mine.version, protocol="udp", port=port)
        to = replace(known, source=mine, destination=there, out="eth0")
        back = replace(known, source=there, destination=mine, into="eth0")
        yield f"flannel's packets from {other.name}", "input", back
        yield f"flannel's packets to {other.name}", "output", to
        yield f"flannel's packets from {other.name}", "ingress", back
    for member in case.seen.running("etcd"):
        there = member.address
        if there.version != mine.version or member.name == node.name:
            continue
        known = Facts(family=mine.version, protocol="tcp")
        to = replace(known, source=mine, destination=there, port=CLIENT_PORT, out="eth0", state="new")
        back = replace(
            known, source=there, destination=mine, from_port=CLIENT_PORT, into="eth0", state="established"
        )
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
            if packet.family == 6 and not case.spec.has_ipv6:
                continue
            for hook in ("ingress", "prerouting", "input", "forward", "output", "postrouting"):
                # A policy, or a rule about everything, is not about these messages.
                drops += [
                    it for it in every_drop(look.rules, hook, packet) if it.rule and _is_about_icmp(it.rule)
                ]
        if drops:
            what = "messages that a packet is too big are dropped: where the MTU is smaller, connections hang"
            evidence = tuple(dict.fromkeys(map(_told, drops)))
            fix = tuple(dict.fromkeys(case.on(node.name, *drop.fix) for drop in drops))
            yield Found(node.name, what, evidence, fix)


def _is_about_icmp(rule: Rule) -> bool:
    return "icmp" in str(rule.expressions) or "icmp" in rule.text
