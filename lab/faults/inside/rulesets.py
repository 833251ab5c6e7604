"""The text of iptables-save(8): rules taken out, and put back among those that came meanwhile. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["merged", "missing", "without"]

COUNTERS = re.compile(r"\[\d+:\d+\]")


@dataclass(slots=True)
class Table:
    """One table of it."""

    name: str
    chains: dict[str, str] = field(default_factory=dict)
    """Each chain's policy; - for a chain of somebody's own."""
    rules: list[str] = field(default_factory=list)
    """`-A CHAIN ...`, in their order."""


def parse(text: str) -> dict[str, Table]:
    """The tables by name."""
    tables: dict[str, Table] = {}
    now = Table("")
    for line in text.split("\n"):  # a comment may have what else str.splitlines takes for the end of a line
        if line.startswith("*"):
            now = tables.setdefault(line[1:], Table(line[1:]))
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            now.chains[chain] = policy
        elif line.startswith("-A "):
            now.rules.append(line)
    return tables


def _written(tables: dict[str, Table]) -> str:
    lines: list[str] = []
    for table in tables.values():
        lines.append(f"*{table.name}")
        lines += [f":{chain} {policy} [0:0]" for chain, policy in table.chains.items()]
        lines += [*table.rules, "COMMIT"]
    return "".join(f"{line}\n" for line in lines)


def _matching(tables: dict[str, Table], pattern: str) -> Iterator[tuple[str, str]]:
    for table in tables.values():
        for rule in table.rules:
            if re.search(pattern, rule):
                yield table.name, rule


def without(text: str, pattern: str) -> str:
    """It without the rules that match."""
    tables = parse(text)
    for table in tables.values():
        table.rules = [rule for rule in table.rules if not re.search(pattern, rule)]
    return _written(tables)


def missing(before: str, now: str, pattern: str) -> tuple[Sequence[str], int]:
    """Of the rules that matched before, those that are not there now; and how many matched."""
    there = {(table.name, rule) for table in parse(now).values() for rule in table.rules}
    wanted = list(_matching(parse(before), pattern))
    return [rule for name, rule in wanted if (name, rule) not in there], len(wanted)


def merged(before: str, now: str) -> str:
    """What was there before, in its order, with what came since: that follows what it follows now.

    Chains and policies that are there now stay.
    """
    old, new = parse(before), parse(now)
    for name, table in old.items():
        there = new.setdefault(name, Table(name))
        there.chains = {**table.chains, **there.chains}
        there.rules = _merge(table.rules, there.rules)
    return _written(new)


def _merge(before: Sequence[str], now: Sequence[str]) -> list[str]:
    result = list(before)
    place = 0
    for rule in now:
        if rule in result[place:]:
            place = result.index(rule, place) + 1
        elif rule not in result:
            result.insert(place, rule)
            place += 1
    return result
