"""What a machine's packet filter does with a packet: nftables, and with it iptables-nft. Pure.

Rules are walked as the kernel walks them. What a rule asks may be unknown here (a set, a match of iptables
that nft cannot read): then it is neither said to match nor not to, and a packet that such a rule may have
accepted is not said to be dropped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any

from lab.doctor.nftables import Chain, Expression, Rule, Ruleset

__all__ = ["Drop", "Packet", "dropped", "drops"]

Packet = Mapping[str, str | int | frozenset[str | int]]
"""What is known of a packet: family (ip, ip6), iifname, oifname, saddr, daddr, l4proto, sport, dport, type,
code (of ICMP), state (of conntrack). Several spellings of one value are a set."""


@dataclass(frozen=True, slots=True)
class Drop:
    """What drops a packet: a rule, or the policy of a chain."""

    chain: Chain
    rule: Rule | None

    @property
    def words(self) -> str:
        """For a person."""
        if self.rule is not None:
            return self.rule.words
        chain = self.chain
        return f"{chain.family} {chain.table} {chain.name}: policy {chain.policy}"

    @property
    def fix(self) -> tuple[str, ...]:
        """The command that undoes it."""
        chain = self.chain
        if self.rule is not None:
            rule = self.rule
            where = (rule.family, rule.table, rule.chain, "handle", str(rule.handle))
            return ("nft", "delete", "rule", *where)
        if chain.name.isupper() and chain.family in {"ip", "ip6"}:
            program = "iptables" if chain.family == "ip" else "ip6tables"
            return (program, "-t", chain.table, "-P", chain.name, "ACCEPT")
        return ("nft", "add", "chain", chain.family, chain.table, chain.name, "{ policy accept; }")


def drops(rules: Ruleset, hook: str, packet: Packet) -> tuple[Drop, ...]:
    """Everything that certainly drops a packet at a hook: what would, too, if the one before did not."""
    found: list[Drop] = []
    while (drop := dropped(rules, hook, packet)) is not None:
        found.append(drop)
        rules = _without(rules, drop)
    return tuple(found)


def _without(rules: Ruleset, drop: Drop) -> Ruleset:
    """The rules if what drops a packet were not there."""
    if drop.rule is not None:
        return replace(rules, rules=tuple(rule for rule in rules.rules if rule is not drop.rule))
    chains = (replace(it, policy="accept") if it is drop.chain else it for it in rules.chains)
    return replace(rules, chains=tuple(chains))


def dropped(rules: Ruleset, hook: str, packet: Packet) -> Drop | None:
    """What certainly drops a packet at a hook; None where nothing does, or nobody can tell."""
    for chain in rules.at(hook, str(packet["family"])):
        walk = _Walk(rules, packet)
        end = walk.through(chain)
        if end is None and chain.policy == "drop":
            end = Drop(chain, None)
        if isinstance(end, Drop):
            return None if walk.may_be_accepted else end
    return None


@dataclass(slots=True)
class _Walk:
    """One packet's way through one base chain."""

    rules: Ruleset
    packet: Packet
    may_be_accepted: bool = False
    inside: list[str] = field(default_factory=list)

    def through(self, chain: Chain) -> "Drop | str | None":
        """How it ends: dropped, "accept", or None for the end of the chain."""
        if chain.name in self.inside:
            return None
        self.inside.append(chain.name)
        try:
            return self._rules_of(chain)
        finally:
            self.inside.pop()

    def _rules_of(self, chain: Chain) -> "Drop | str | None":
        for rule in self.rules.of(chain):
            matches = _all(_matches(item, self.packet, rule.text) for item in rule.expressions)
            if matches is False:
                continue
            verdict, target = _verdict(rule)
            if matches is None or verdict == "unknown":
                self.may_be_accepted |= verdict in {"accept", "unknown", "jump", "goto"}
                continue
            if verdict == "drop":
                return Drop(chain, rule)
            if verdict == "accept":
                return "accept"
            if verdict == "return":
                return None
            if target:
                other = self.rules.chain(chain, target)
                end = self.through(other) if other is not None else None
                if end is not None or verdict == "goto":
                    return end
        return None


def _verdict(rule: Rule) -> tuple[str, str]:
    """What a rule does with a packet that it matches, and the chain that it leads to."""
    for item in rule.expressions:
        for word in ("accept", "drop", "return"):
            if word in item:
                return word, ""
        if "reject" in item:
            return "drop", ""
        for word in ("jump", "goto"):
            if word in item:
                return word, str(item[word]["target"])
        if "vmap" in item or "queue" in item:
            return "unknown", ""
        if "xt" in item and item["xt"].get("type") == "target":
            name = str(item["xt"].get("name", ""))
            return ("drop", "") if name in {"DROP", "REJECT"} else ("", "")
    return "", ""


def _all(answers: Iterator[bool | None]) -> bool | None:
    found: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            found = None
    return found


def _matches(item: Expression, packet: Packet, text: str) -> bool | None:
    if "xt" in item:
        about = item["xt"]
        if about.get("type") != "match" or about.get("name") == "comment":
            return True
        return _by_text(str(about.get("name")), packet, text)
    if "match" not in item:
        return None if "vmap" in item else True
    match = item["match"]
    known = _left(match["left"], packet)
    if isinstance(known, bool) or known is None:
        return known
    found = _in(known, match["right"])
    return found if found is None or match["op"] != "!=" else not found


def _by_text(name: str, packet: Packet, text: str) -> bool | None:
    """What nft cannot read of iptables' matches, and iptables-save tells."""
    words = text.split()
    if name == "conntrack" and "--ctstate" in words and "state" in packet and "!" not in words:
        return str(packet["state"]).upper() in words[words.index("--ctstate") + 1].split(",")
    return None


def _left(left: Any, packet: Packet) -> "str | int | frozenset[str | int] | bool | None":
    """The packet's value of what is asked; False where such a packet has none, None where nobody knows."""
    if not isinstance(left, dict):
        return None
    if "payload" in left:
        protocol, name = left["payload"].get("protocol"), left["payload"].get("field")
        if protocol in {"ip", "ip6"}:
            return packet.get(str(name)) if packet["family"] == protocol else False
        if protocol in {"tcp", "udp", "icmp", "icmpv6", "udplite", "sctp"}:
            mine = packet.get("l4proto")
            if mine is None:
                return None
            return packet.get(str(name)) if _in(mine, protocol) else False
        return packet.get(str(name)) if protocol == "th" else None
    if "meta" in left:
        key = str(left["meta"].get("key"))
        if key in {"nfproto", "protocol"}:
            return frozenset({packet["family"], {"ip": "ipv4", "ip6": "ipv6"}[str(packet["family"])]})  # type: ignore[arg-type]
        return packet.get({"iif": "iifname", "oif": "oifname"}.get(key, key))
    if "ct" in left and left["ct"].get("key") == "state":
        return packet.get("state")
    return None


def _in(known: "str | int | frozenset[str | int]", right: Any) -> bool | None:
    """Whether a value is, or is in, the right side of a match; None if that cannot be read here."""
    if isinstance(known, frozenset):
        answers = [_in(one, right) for one in known]
        return True if True in answers else (None if None in answers else False)
    if isinstance(right, list):
        answers = [_in(known, one) for one in right]
        return True if True in answers else (None if None in answers else False)
    if isinstance(right, dict):
        if "set" in right:
            return _in(known, right["set"])
        if "prefix" in right:
            return _within(known, f"{right['prefix']['addr']}/{right['prefix']['len']}")
        if "range" in right and isinstance(known, int):
            first, last = right["range"]
            return isinstance(first, int) and first <= known <= last
        return None
    if isinstance(right, str) and right.startswith("@"):
        return None
    if isinstance(right, str) and right.endswith("*"):
        return str(known).startswith(right[:-1])
    if isinstance(right, str) and isinstance(known, str) and ("." in right or ":" in right):
        return _within(known, right)
    return bool(known == right) if isinstance(right, (str, int)) else None


def _within(known: object, network: str) -> bool | None:
    try:
        return ip_address(str(known)) in ip_network(network, strict=False)
    except ValueError:
        return str(known) == network
