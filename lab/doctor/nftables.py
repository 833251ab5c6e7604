"""A machine's packet filter as values: tables of nftables, and of iptables as nftables has them. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Chain", "Expression", "Rule", "Ruleset", "parse_ruleset"]

Expression = Mapping[str, Any]

COVERS = {"ip": ("ip", "inet", "netdev"), "ip6": ("ip6", "inet", "netdev")}
"""By a packet's family: the families of tables that see it."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; a base chain has a hook."""

    family: str
    table: str
    name: str
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    kind: str = ""
    """filter, nat or route."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule."""

    family: str
    table: str
    chain: str
    handle: int
    expressions: tuple[Expression, ...]
    text: str = ""
    """As iptables-save writes it, of a rule of iptables."""

    @property
    def words(self) -> str:
        """The rule, and where it is."""
        where = f"{self.family} {self.table} {self.chain}, handle {self.handle}"
        return f"{where}: {self.text or ' '.join(filter(None, map(_words, self.expressions)))}"

    @property
    def packets(self) -> int | None:
        """What its counter says; None if it has none."""
        for item in self.expressions:
            if isinstance(item.get("counter"), dict):
                return int(item["counter"]["packets"])
        return None


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All of a machine's tables."""

    chains: tuple[Chain, ...] = ()
    rules: tuple[Rule, ...] = ()

    def of(self, chain: Chain) -> tuple[Rule, ...]:
        """A chain's rules."""
        place = (chain.family, chain.table, chain.name)
        return tuple(rule for rule in self.rules if (rule.family, rule.table, rule.chain) == place)

    def chain(self, beside: Chain, name: str) -> Chain | None:
        """Another chain of the same table."""
        return next(
            (
                it
                for it in self.chains
                if (it.family, it.table, it.name) == (beside.family, beside.table, name)
            ),
            None,
        )

    def at(self, hook: str, family: str, kind: str = "filter") -> tuple[Chain, ...]:
        """The base chains that packets of a family pass at a hook, in their order."""
        found = [
            chain
            for chain in self.chains
            if chain.hook == hook and chain.family in COVERS[family] and chain.kind == kind
        ]
        return tuple(sorted(found, key=lambda chain: chain.priority))


def parse_ruleset(nft: str, saved: Mapping[str, str]) -> Ruleset:
    """From `nft -json list ruleset`, and by family what iptables-save and ip6tables-save print.

    Raises `ValueError`.
    """
    try:
        items = json.loads(nft)["nftables"]
        chains = tuple(_chain(item["chain"]) for item in items if "chain" in item)
        rules = [item["rule"] for item in items if "rule" in item]
        texts = {family: _saved(text) for family, text in saved.items()}
        return Ruleset(chains, tuple(_rules(rules, texts)))
    except (KeyError, TypeError) as error:
        raise ValueError(f"the rules cannot be read: {error!r}") from error


def _chain(item: Mapping[str, Any]) -> Chain:
    return Chain(
        item["family"], item["table"], item["name"], item.get("hook", ""), int(item.get("prio", 0)),
        item.get("policy", "accept"), item.get("type", ""),
    )  # fmt: skip


def _saved(text: str) -> Mapping[tuple[str, str], Sequence[str]]:
    """By table and chain, the rules that iptables-save prints."""
    found: dict[tuple[str, str], list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith("-A "):
            found.setdefault((table, line.split()[1]), []).append(line)
    return found


def _rules(
    items: Sequence[Mapping[str, Any]], texts: Mapping[str, Mapping[tuple[str, str], Sequence[str]]]
) -> Iterator[Rule]:
    count: dict[tuple[str, str, str], int] = {}
    for item in items:
        place = (item["family"], item["table"], item["chain"])
        count[place] = count.get(place, 0) + 1
    number: dict[tuple[str, str, str], int] = {}
    for item in items:
        family, table, chain = place = (item["family"], item["table"], item["chain"])
        lines = texts.get(family, {}).get((table, chain), ())
        at = number[place] = number.get(place, -1) + 1
        # Both list a chain's rules in their order; where the numbers differ, it has changed meanwhile.
        text = lines[at] if len(lines) == count[place] else ""
        yield Rule(family, table, chain, int(item["handle"]), tuple(item["expr"]), text)


def _words(item: Expression) -> str:
    """An expression for a person: near to how nft writes it."""
    if "match" in item:
        match = item["match"]
        op = "" if match["op"] in {"==", "in"} else f"{match['op']} "
        return f"{_side(match['left'])} {op}{_side(match['right'])}"
    if "counter" in item:
        about = item["counter"]
        return f"counter packets {about['packets']}" if isinstance(about, dict) else ""
    if "xt" in item:
        return str(item["xt"].get("name", ""))
    for word in ("jump", "goto"):
        if word in item:
            return f"{word} {item[word]['target']}"
    return " ".join(item)


def _side(side: Any) -> str:
    match side:
        case {"payload": {"protocol": protocol, "field": name}}:
            return f"{protocol} {name}"
        case {"meta": {"key": key}}:
            return str(key)
        case {"ct": {"key": key}}:
            return f"ct {key}"
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"set": list(members)} | list(members):
            return "{ " + ", ".join(map(_side, members)) + " }"
        case {"range": [first, last]}:
            return f"{first}-{last}"
        case str() | int():
            return str(side)
    return json.dumps(side)
