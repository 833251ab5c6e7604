"""Rules in the format that nft(8) reads and prints."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from flanneld_py.firewall.rules import MARK, Family, Purpose, Rule, RuleChanges, Side, Verdict, Wanted

__all__ = ["PROTOCOLS", "TABLES", "chain", "ensure", "table_name"]

TABLES: Final[dict[Family, str]] = {4: "flannel-ipv4", 6: "flannel-ipv6"}
PROTOCOLS: Final[dict[Family, str]] = {4: "ip", 6: "ip6"}


@dataclass(frozen=True, slots=True)
class _Place:
    """A chain of our own: its name, and its properties as nft prints them."""

    purpose: Purpose
    name: str
    comment: str
    kind: str

    @property
    def head(self) -> tuple[str, str]:
        return f'comment "{self.comment}"', f"{self.kind}; policy accept;"


_PLACES: Final = (
    _Place(
        Purpose.FORWARD,
        "forward",
        "chain to accept flannel traffic",
        "type filter hook forward priority filter",
    ),
    _Place(
        Purpose.MASQUERADE,
        "postrtg",
        "chain to manage traffic masquerading by flannel",
        "type nat hook postrouting priority srcnat",
    ),
)


@dataclass(slots=True)
class _Chain:
    """A chain as printed by nft."""

    head: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)


def table_name(family: Family) -> str:
    """Name of the table with its family: `ip flannel-ipv4`, or the IPv6 one."""
    return f"{PROTOCOLS[family]} {TABLES[family]}"


def chain(wanted: Wanted, purpose: Purpose) -> list[str]:
    """Return the rules of one of our chains, in order."""
    return [_words(rule, wanted) for rule in wanted.rules(purpose)]


def _words(rule: Rule, wanted: Wanted) -> str:
    protocol = PROTOCOLS[wanted.family]
    # As nft prints them, because the two are compared.
    parts = [f"meta mark {MARK:#010x}"] if rule.marked else []
    parts += [_side(f"{protocol} saddr", rule.source), _side(f"{protocol} daddr", rule.destination)]
    parts += [rule.verdict.value]
    parts += ["fully-random"] if rule.verdict is Verdict.MASQUERADE and wanted.random_fully else []
    return " ".join(part for part in parts if part)


def _side(words: str, side: Side | None) -> str:
    if side is None:
        return ""
    single = side.network.num_addresses == 1
    network = str(side.network.network_address if single else side.network)
    return f"{words} {network}" if side.inside else f"{words} != {network}"


def ensure(wanted: Wanted, listed: str, *, keep: bool) -> RuleChanges:
    """Compute the changes that install these rules, given nft's listing of our table (empty if it is absent).

    With `keep`, rules that others added to our chains stay, after ours, and nothing is removed. Without it
    the chains contain only our rules, and a chain or table that is not wanted is removed.
    """
    table = table_name(wanted.family)
    if not wanted.masquerade and not wanted.forward:
        if keep or not listed:
            return RuleChanges()
        return RuleChanges(f"delete table {table}\n", (TABLES[wanted.family],))
    chains = _parse(listed)
    lines: list[str] = []
    what: list[str] = []
    for place in _PLACES:
        seen = chains.get(place.name)
        ours = chain(wanted, place.purpose)
        if ours:
            made = _repaired(table, place, ours, seen, keep=keep)
        else:
            made = [] if keep or seen is None else _emptied(table, place, delete=True)
        lines += made
        what += [f"{TABLES[wanted.family]} {place.name}"] * bool(made)
    if not lines:
        return RuleChanges()
    first = f'add table {table} {{ comment "rules for {TABLES[wanted.family]}" ; }}'
    return RuleChanges("".join(f"{line}\n" for line in (first, *lines)), tuple(what))


def _repaired(
    table: str, place: _Place, ours: Sequence[str], seen: _Chain | None, *, keep: bool
) -> list[str]:
    lines: list[str] = []
    theirs: list[str] = []
    if seen is not None:
        remaining = iter(seen.rules)
        is_there = all(rule in remaining for rule in ours) if keep else seen.rules == ours
        is_as_ours = place.head[1] in seen.head
        if is_there and is_as_ours:
            return []
        theirs = [rule for rule in seen.rules if rule not in ours] if keep else []
        lines = _emptied(table, place, delete=not is_as_ours)
    definition = f'{place.kind} ; policy accept ; comment "{place.comment}" ;'
    lines.append(f"add chain {table} {place.name} {{ {definition} }}")
    return lines + [f"add rule {table} {place.name} {rule}" for rule in (*ours, *theirs)]


def _emptied(table: str, place: _Place, *, delete: bool) -> list[str]:
    lines = [f"flush chain {table} {place.name}"]
    return [*lines, f"delete chain {table} {place.name}"] if delete else lines


def _parse(listed: str) -> dict[str, _Chain]:
    chains: dict[str, _Chain] = {}
    current: _Chain | None = None
    for line in listed.splitlines():
        text = line.strip()
        depth = len(line) - len(line.lstrip("\t"))
        if depth == 1:
            is_chain = text.startswith("chain ") and text.endswith(" {")
            current = chains.setdefault(text.split()[1], _Chain()) if is_chain else None
        elif current is None or not text:
            continue
        elif depth > 2:  # nft breaks long lines
            into = current.rules or current.head
            into[-1:] = [f"{into[-1]} {text}"] if into else [text]
        elif text.startswith(("type ", "comment ")) and not current.rules:
            current.head.append(text)
        else:
            current.rules.append(text)
    return chains
