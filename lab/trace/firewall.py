"""What a machine's firewall does with a packet: its nftables rules, evaluated. Pure.

nft(8) lists iptables-nft's rules as well: in JSON, where a match of iptables' own is only named, and in
words, from which the few of those that matter here are read. A match that cannot be told is Perhaps: its
rule is not applied, and is named where it would have dropped the packet.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any, Literal

from lab.trace.packet import Packet

__all__ = ["Chain", "Outcome", "Position", "Rule", "Ruleset", "parse_ruleset"]

Hook = Literal["prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"]

FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}
"""The tables that a packet passes."""

COUNTED = re.compile(r"\bcounter (packets \d+ bytes \d+ ?)?")
HANDLE = re.compile(r"^\s*(?P<text>.*?)\s*# handle (?P<handle>\d+)$")
TABLE = re.compile(r"^table (?P<family>\S+) (?P<name>\S+) \{")

ESTABLISHED = {"established", "related"}


@dataclass(frozen=True, slots=True)
class Position:
    """Where a packet is, and what its machine knows of it."""

    into: str = ""
    """The device that it came in by; empty for the machine's own packets."""
    out: str = ""
    is_local: Callable[[str], bool] = field(default=lambda _: False)
    """Whether an address is one of the machine's own."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its expressions as nft's JSON has them, and what it is in words."""

    expressions: tuple[Mapping[str, Any], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; of a base chain also where it stands."""

    family: str
    table: str
    name: str
    rules: tuple[Rule, ...]
    hook: str = ""
    kind: str = ""
    priority: int = 0
    policy: str = "accept"
    device: str = ""

    @property
    def title(self) -> str:
        """For a person."""
        return f"{self.family} {self.table} {self.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a packet at a hook."""

    passes: bool = True
    rule: str = ""
    """What dropped it: a rule in words, or a chain's policy."""
    chain: str = ""
    masquerades: str = ""
    """The rule that gives it another source, if one does."""
    rewrites: str = ""
    """The rule that gives it another destination, if one does."""
    target: str = ""
    """That destination's address, where the rule names one."""
    perhaps: tuple[str, ...] = ()
    """Rules that would drop it if what they match by, which nobody here can tell, were so."""


class _Perhaps(Exception):
    """Nobody can tell whether something matches."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All tables of a network namespace."""

    chains: tuple[Chain, ...] = ()
    sets: Mapping[tuple[str, str, str], Sequence[Any]] = field(default_factory=dict)
    """Elements, by family, table and name."""

    def at(self, hook: str, packet: Packet, position: Position) -> Outcome:
        """What its chains do with a packet at a hook, in the order of their priorities."""
        found = Outcome()
        chains = [it for it in self.chains if it.hook == hook and self._sees(it, packet, position)]
        perhaps: list[str] = []
        for chain in sorted(chains, key=lambda it: it.priority):
            if chain.kind == "nat" and packet.answers:
                continue  # what conntrack knows is translated without it
            walk = _Walk(self, packet, position, perhaps)
            verdict, rule = walk.through(chain)
            if verdict in ("drop", "reject"):
                return Outcome(passes=False, rule=rule, chain=chain.title, perhaps=tuple(perhaps))
            if verdict == "masquerade" and not found.masquerades:
                found = replace(found, masquerades=rule)
            if verdict == "dnat" and not found.rewrites:
                target = re.search(r"\bdnat (?:ip6? )?to \[?([0-9a-f.:]+?)\]?(?::\d+)?(?: |$)", rule)
                found = replace(found, rewrites=rule, target=target[1] if target else "")
        return replace(found, perhaps=tuple(perhaps))

    def _sees(self, chain: Chain, packet: Packet, position: Position) -> bool:
        if chain.family == "netdev":
            return chain.device in (position.into if chain.hook == "ingress" else position.out,)
        return chain.family in FAMILIES[packet.family]

    def chain(self, like: Chain, name: str) -> Chain | None:
        """Another chain of the same table."""
        return next(
            (it for it in self.chains if (it.family, it.table, it.name) == (like.family, like.table, name)),
            None,
        )


class _Walk:
    """One packet's way through one base chain."""

    def __init__(self, ruleset: Ruleset, packet: Packet, position: Position, perhaps: list[str]) -> None:
        self._ruleset = ruleset
        self._packet = packet
        self._position = position
        self._perhaps = perhaps

    def through(self, chain: Chain) -> tuple[str, str]:
        """The verdict of a base chain, and what has given it."""
        verdict, rule = self._rules(chain, 0)
        if verdict:
            return verdict, rule
        return chain.policy, f"policy {chain.policy}"

    def _rules(self, chain: Chain, depth: int) -> tuple[str, str]:
        """The verdict of a chain; empty where it comes to its end, or returns."""
        for rule in chain.rules if depth < 32 else ():
            try:
                verdict, target = self._apply(chain, rule)
            except _Perhaps:
                if any(name in item for item in rule.expressions for name in ("drop", "reject")):
                    self._perhaps.append(rule.text)
                continue
            if verdict in ("jump", "goto"):
                there = self._ruleset.chain(chain, target)
                found = self._rules(there, depth + 1) if there is not None else ("", "")
                if found[0]:
                    return found
                if verdict == "goto":
                    return "", ""
            elif verdict == "return":
                return "", ""
            elif verdict:
                return verdict, rule.text
        return "", ""

    def _apply(self, chain: Chain, rule: Rule) -> tuple[str, str]:
        for item in rule.expressions:
            ((name, value),) = item.items()
            if name == "match":
                if not self._matches(chain, value):
                    return "", ""
            elif name == "xt":
                if value["type"] == "match":
                    if not self._iptables_match(value["name"], rule.text):
                        return "", ""
                else:
                    return _target(value["name"]), ""
            elif name in ("accept", "drop", "reject", "return", "masquerade"):
                return name, ""
            elif name in ("jump", "goto"):
                return name, value["target"]
            elif name in ("snat", "dnat", "redirect"):
                return ("masquerade" if name == "snat" else "dnat"), ""
        return "", ""

    def _matches(self, chain: Chain, given: Mapping[str, Any]) -> bool:
        left, right, operator = given["left"], given["right"], given["op"]
        if isinstance(right, str) and right.startswith("@"):
            elements = self._ruleset.sets.get((chain.family, chain.table, right[1:]))
            if elements is None:
                raise _Perhaps
            right = {"set": elements}
        if "ct" in left:
            return self._conntrack(left["ct"], right) is not (operator == "!=")
        value = self._value(left)
        if value is _NOT_THERE:
            return False
        return _is_in(value, right) is not (operator == "!=")

    def _conntrack(self, asked: Mapping[str, Any], right: Any) -> bool:
        if asked.get("key") != "state":
            raise _Perhaps
        wanted = right.get("set", []) if isinstance(right, Mapping) else right
        return bool(self._states() & ({wanted} if isinstance(wanted, str) else set(wanted)))

    def _states(self) -> set[str]:
        return {"established"} if self._packet.answers else {"new"}

    def _value(self, left: Mapping[str, Any]) -> Any:
        packet, position = self._packet, self._position
        match left:
            case {"meta": {"key": "iifname" | "iif"}}:
                return position.into
            case {"meta": {"key": "oifname" | "oif"}}:
                return position.out
            case {"meta": {"key": "l4proto"}} | {"payload": {"protocol": "ip", "field": "protocol"}}:
                return packet.protocol if packet.family == 4 or packet.protocol != "icmp" else "ipv6-icmp"
            case {"meta": {"key": "nfproto"}}:
                return "ipv4" if packet.family == 4 else "ipv6"
            case {"payload": {"protocol": "ip" | "ip6" as version, "field": "saddr" | "daddr" as which}}:
                if version != ("ip" if packet.family == 4 else "ip6"):
                    return _NOT_THERE
                return packet.source if which == "saddr" else packet.destination
            case {
                "payload": {"protocol": "tcp" | "udp" | "th" as protocol, "field": "sport" | "dport" as which}
            }:
                if protocol != "th" and protocol != packet.protocol:
                    return _NOT_THERE
                return packet.from_port if which == "sport" else packet.port
            case {"payload": {"protocol": "icmp" | "icmpv6", "field": "type"}}:
                if packet.protocol != "icmp":
                    return _NOT_THERE
                return "echo-reply" if packet.answers else "echo-request"
            case {"fib": {"result": "type", "flags": flags}}:
                address = packet.source if "saddr" in flags else packet.destination
                return "local" if position.is_local(str(address)) else "unicast"
            case {"payload": {"base": "th", "offset": offset, "len": length}} if packet.protocol == "udp":
                bits = f"{int.from_bytes(packet.transport()):0{len(packet.transport()) * 8}b}"
                word = bits[offset : offset + length]
                return int(word, 2) if len(word) == length else _NOT_THERE
            case {"payload": {"protocol": protocol}} if protocol in ("tcp", "udp", "icmp", "icmpv6"):
                if protocol.removesuffix("v6") != packet.protocol:
                    return _NOT_THERE
        raise _Perhaps

    def _iptables_match(self, name: str, text: str) -> bool:
        """A match that JSON only names."""
        if name == "comment":
            return True
        if name == "conntrack" and (found := re.search(r"ct state (!= )?(\S+)", text)):
            return bool(self._states() & set(found[2].split(","))) != bool(found[1])
        if name == "addrtype" and (found := re.search(r"fib ([sd])addr type (!= )?(\S+)", text)):
            address = self._packet.source if found[1] == "s" else self._packet.destination
            if found[3] == "local":
                return self._position.is_local(str(address)) != bool(found[2])
        raise _Perhaps


_NOT_THERE = object()
"""The value of a field that a packet does not have: then nothing matches."""


def _target(name: str) -> str:
    """What a target of iptables' own comes to."""
    named = {"MASQUERADE": "masquerade", "SNAT": "masquerade", "DNAT": "dnat", "REDIRECT": "dnat"}
    return named.get(name, {"REJECT": "reject", "DROP": "drop", "ACCEPT": "accept"}.get(name, ""))


def _is_in(value: Any, right: Any) -> bool:
    match right:
        case {"set": elements}:
            return any(_is_in(value, element) for element in elements)
        case list():
            return any(_is_in(value, element) for element in right)
        case {"prefix": {"addr": address, "len": length}}:
            return bool(value in ip_network(f"{address}/{length}", strict=False))
        case {"range": [first, last]}:
            if isinstance(value, int):
                return int(first) <= value <= int(last)
            return int(ip_address(first)) <= int(value) <= int(ip_address(last))
        case {"elem": {"val": inner}}:
            return _is_in(value, inner)
        case {"concat": _}:
            raise _Perhaps
        case bool() | None:
            raise _Perhaps
        case int():
            return bool(value == right)
        case str():
            if right.endswith("*"):
                return str(value).startswith(right[:-1])
            return str(value) == right
    raise _Perhaps


def parse_ruleset(text: str, words: str) -> Ruleset:
    """`nft --json list ruleset`, and `nft --handle list ruleset`."""
    items = json.loads(text)["nftables"] if text else []
    texts = dict(_texts(words.splitlines()))
    rules: dict[tuple[str, str, str], list[Rule]] = {}
    sets = {}
    for item in items:
        match item:
            case {"rule": rule}:
                place = rule["family"], rule["table"]
                # Written without words, as where nft gave none, it is its JSON.
                told = texts.get((*place, rule["handle"]), json.dumps(rule["expr"]))
                rules.setdefault((*place, rule["chain"]), []).append(Rule(tuple(_sound(rule["expr"])), told))
            case {"set": it} | {"map": it}:
                sets[it["family"], it["table"], it["name"]] = it.get("elem", [])
    chains = tuple(
        Chain(
            family=it["family"],
            table=it["table"],
            name=it["name"],
            rules=tuple(rules.get((it["family"], it["table"], it["name"]), ())),
            hook=it.get("hook", ""),
            kind=it.get("type", ""),
            priority=it.get("prio", 0),
            policy=it.get("policy", "accept"),
            device=it.get("dev", "") if isinstance(it.get("dev", ""), str) else "",
        )
        for it in (item["chain"] for item in items if "chain" in item)
    )
    return Ruleset(chains, sets)


def _sound(expressions: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Those with one word and what follows it; a bare word, which nft gives for some, follows nothing."""
    for item in expressions:
        yield item if isinstance(item, Mapping) and len(item) == 1 else {str(item): None}


def _texts(lines: Collection[str]) -> Iterator[tuple[tuple[str, str, int], str]]:
    family, table = "", ""
    for line in lines:
        if found := TABLE.match(line):
            family, table = found["family"], found["name"]
        elif (found := HANDLE.match(line)) and not found["text"].endswith("{"):
            told = " ".join(COUNTED.sub("", found["text"]).split())
            yield (family, table, int(found["handle"])), told
