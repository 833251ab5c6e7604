"""Reading a machine's rules: nft's JSON, and the words of nft and of iptables for them. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lab.packet_filter.model import Chain, Expression, Rule, Ruleset

__all__ = ["parse_ruleset"]

Place = tuple[str, str, str]
"""Of a chain: family, table, name."""

COUNTER = re.compile(r"\bcounter packets \d+ bytes \d+ ?")
HANDLE = re.compile(r"^\s*(?P<text>.*?)\s*# handle (?P<handle>\d+)$")
TABLE = re.compile(r"^table (?P<family>\S+) (?P<name>\S+) \{")

SAVED = {"iptables": "ip", "ip6tables": "ip6"}
"""By command: the family of its tables."""


def parse_ruleset(printed: Mapping[str, str]) -> Ruleset:
    """From what `COMMANDS` have printed, by their names; only the first one must be there.

    Raises `ValueError`.
    """
    try:
        text = printed["nft"]
        items = json.loads(text)["nftables"] if text else []
        chains = [item["chain"] for item in items if "chain" in item]
        sets = [item.get("set") or item.get("map") for item in items if "set" in item or "map" in item]
        rules = _rules([item["rule"] for item in items if "rule" in item], printed)
        return Ruleset(
            tuple(_chain(it, rules.get(_place(it, "name"), ())) for it in chains),
            {_place(it, "name"): it.get("elem", []) for it in sets},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the rules cannot be read: {error!r}") from error


def _place(item: Mapping[str, Any], key: str) -> Place:
    return item["family"], item["table"], item[key]


def _chain(item: Mapping[str, Any], rules: Iterable[Rule]) -> Chain:
    devices = item.get("dev", ())
    return Chain(
        item["family"],
        item["table"],
        item["name"],
        tuple(rules),
        hook=item.get("hook", ""),
        kind=item.get("type", ""),
        priority=int(item.get("prio", 0)),
        policy=item.get("policy", "accept"),
        devices=(devices,) if isinstance(devices, str) else tuple(devices),
    )


def _rules(items: Sequence[Mapping[str, Any]], printed: Mapping[str, str]) -> Mapping[Place, Sequence[Rule]]:
    """By chain."""
    told = dict(_told(printed.get("words", "").split("\n")))
    saved = {
        (family, table, chain): lines
        for command, family in SAVED.items()
        for (table, chain), lines in _saved(printed.get(command, "")).items()
    }
    chains: dict[Place, list[Mapping[str, Any]]] = {}
    for item in items:
        chains.setdefault(_place(item, "chain"), []).append(item)
    found = {}
    for place, rules in chains.items():
        lines = saved.get(place, ())
        if len(lines) != len(rules):
            # Both list a chain's rules in their order; it has changed meanwhile, or is none of iptables'.
            lines = [""] * len(rules)
        found[place] = [
            Rule(*place, int(item["handle"]), tuple(_sound(item["expr"])),
                 told.get((*place[:2], item["handle"]), ""), line)
            for item, line in zip(rules, lines, strict=True)
        ]  # fmt: skip
    return found


def _sound(expressions: Iterable[Any]) -> Iterator[Expression]:
    """Those with one word and what follows it; a bare word, which nft gives for some, follows nothing."""
    for item in expressions:
        yield item if isinstance(item, Mapping) and len(item) == 1 else {str(item): None}


def _told(lines: Iterable[str]) -> Iterator[tuple[tuple[str, str, int], str]]:
    """By family, table and handle, which is unique in a table: what nft writes of a rule."""
    family, table = "", ""
    for line in lines:
        if found := TABLE.match(line):
            family, table = found["family"], found["name"]
        elif (found := HANDLE.match(line)) and not found["text"].endswith("{"):
            yield (
                (family, table, int(found["handle"])),
                " ".join(COUNTER.sub("", found["text"]).split()),
            )


def _saved(text: str) -> Mapping[tuple[str, str], Sequence[str]]:
    """By table and chain, the rules that iptables-save prints."""
    found: dict[tuple[str, str], list[str]] = {}
    table = ""
    for line in text.split("\n"):  # a comment may have what else str.splitlines takes for the end of a line
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith("-A "):
            found.setdefault((table, line.split()[1]), []).append(line)
    return found
