"""Rules in the format that iptables-restore(8) reads and iptables-save(8) prints; ip6tables' is the same."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flanneld_py.firewall.rules import MARK, Purpose, Rule, RuleChanges, Side, Verdict, Wanted

__all__ = ["ensure", "remove", "rules"]


@dataclass(frozen=True, slots=True)
class _Place:
    """A chain of our own, and the built-in chain that jumps to it with the rule `hook`."""

    purpose: Purpose
    table: str
    chain: str
    parent: str

    @property
    def hook(self) -> str:
        return f'-m comment --comment "{self.purpose.value}" -j {self.chain}'


_PLACES: Final = (
    _Place(Purpose.MASQUERADE, "nat", "FLANNEL-POSTRTG", "POSTROUTING"),
    _Place(Purpose.FORWARD, "filter", "FLANNEL-FWD", "FORWARD"),
)


@dataclass(slots=True)
class _Table:
    """A table as printed by iptables-save."""

    chains: set[str] = field(default_factory=set)
    rules: list[str] = field(default_factory=list)

    def of(self, chain: str) -> list[str]:
        return [rule for rule in self.rules if rule.startswith(f"-A {chain} ")]


def rules(wanted: Wanted, purpose: Purpose) -> list[str]:
    """Return the rules of one of our chains, in order."""
    (place,) = (place for place in _PLACES if place.purpose is purpose)
    return [f"-A {place.chain} {_words(rule, wanted, purpose)}" for rule in wanted.rules(purpose)]


def _words(rule: Rule, wanted: Wanted, purpose: Purpose) -> str:
    # In the order of iptables-save, because the two are compared.
    parts = [_side("-s", rule.source), _side("-d", rule.destination)]
    parts += [f"-m mark --mark {MARK:#x}/{MARK:#x}"] if rule.marked else []
    parts += [f'-m comment --comment "{purpose.value}"', f"-j {rule.verdict.name}"]
    parts += ["--random-fully"] if rule.verdict is Verdict.MASQUERADE and wanted.random_fully else []
    return " ".join(part for part in parts if part)


def _side(flag: str, side: Side | None) -> str:
    if side is None:
        return ""
    return f"{flag} {side.network}" if side.inside else f"! {flag} {side.network}"


def ensure(wanted: Wanted, saved: str, *, keep: bool) -> RuleChanges:
    """Compute the changes that install these rules, given the output `saved` of iptables-save.

    With `keep`, rules that others added to our chains stay, after ours, and nothing is removed. Without it
    the chains contain only our rules, and any of flannel's chains that are not wanted are removed.
    """
    tables = _parse(saved)
    blocks: dict[str, list[str]] = {}
    what: list[str] = []
    for place in _PLACES:
        table = tables.get(place.table, _Table())
        if wanted.rules(place.purpose):
            lines = _repaired(place, rules(wanted, place.purpose), table, keep=keep)
        else:
            lines = [] if keep else _removed(place.chain, table)
        what += [place.chain] * bool(lines)
        blocks.setdefault(place.table, []).extend(lines)
    return _changes(blocks, what, {} if keep else tables)


def remove(saved: str) -> RuleChanges:
    """Compute the changes that remove all of flannel's rules, including those of 0.5.5."""
    tables = _parse(saved)
    blocks = {place.table: _removed(place.chain, tables.get(place.table, _Table())) for place in _PLACES}
    return _changes(blocks, [place.chain for place in _PLACES if blocks[place.table]], tables)


def _changes(blocks: dict[str, list[str]], what: Sequence[str], tables: Mapping[str, _Table]) -> RuleChanges:
    """Combine these lines for each table with those that remove what 0.5.5 left."""
    former = _former(tables.get("nat", _Table()))
    blocks["nat"] = [*blocks.get("nat", []), *former]
    text = "".join(
        "".join(f"{line}\n" for line in (f"*{name}", *lines, "COMMIT"))
        for name, lines in blocks.items()
        if lines
    )
    return RuleChanges(text, (*what, _FORMER) if former else tuple(what))


def _repaired(place: _Place, ours: Sequence[str], table: _Table, *, keep: bool) -> list[str]:
    seen = table.of(place.chain)
    remaining = iter(seen)
    # In order, though others' rules may be between them.
    is_there = all(rule in remaining for rule in ours) if keep else seen == ours
    misplaced, hook = _hook(place, table)
    if is_there and place.chain in table.chains and not misplaced and not hook:
        return []
    # Naming a chain creates or empties it.
    theirs = [rule for rule in seen if rule not in ours] if keep else []
    return [f":{place.chain} - [0:0]", *misplaced, *ours, *theirs, *hook]


def _hook(place: _Place, table: _Table) -> tuple[list[str], list[str]]:
    """Return the deletion of misplaced jumps to our chain, and the right jump; both empty if it is in place.

    Like flannel's the jump comes last, but before a rule that drops or rejects everything: many machines end
    FORWARD with one.
    """
    found = table.of(place.parent)
    leading = [rule for rule in found if _leads_to(place.chain, rule)]
    wall = re.compile(rf"-A {place.parent} -j (DROP|REJECT)\b.*")
    walls = [number for number, rule in enumerate(found, 1) if wall.fullmatch(rule)]
    hook = f"-A {place.parent} {place.hook}"
    if leading == [hook] and not (walls and found.index(hook) >= walls[0]):
        return [], []
    if walls:
        number = walls[0] - sum(rule in leading for rule in found[: walls[0]])
        hook = f"-I {place.parent} {number} {place.hook}"
    return [_deleted(rule) for rule in leading], [hook]


def _removed(chain: str, table: _Table) -> list[str]:
    """Return the removal of a chain and of all jumps to it, which would otherwise prevent the removal."""
    if chain not in table.chains:
        return []
    leading = [rule for rule in table.rules if _leads_to(chain, rule) and not rule.startswith(f"-A {chain} ")]
    return [f":{chain} - [0:0]", *map(_deleted, leading), f"-X {chain}"]


_FORMER: Final = "FLANNEL"
_FORMER_HOOK: Final = re.compile(rf"-A POSTROUTING -s (\S+) -j {_FORMER}")


def _former(table: _Table) -> list[str]:
    """Return the removal of flannel 0.5.5's rules; their network is taken from the rules themselves."""
    networks = [match[1] for rule in table.rules if (match := _FORMER_HOOK.fullmatch(rule))]
    beside = Counter(f"-A POSTROUTING ! -s {network} -d {network} -j MASQUERADE" for network in networks)
    there = Counter(table.rules)
    return [_deleted(rule) for rule in (beside & there).elements()] + _removed(_FORMER, table)


def _leads_to(chain: str, rule: str) -> bool:
    return rule.endswith((f" -j {chain}", f" -g {chain}"))


def _deleted(rule: str) -> str:
    return f"-D {rule.removeprefix('-A ')}"


def _parse(saved: str) -> dict[str, _Table]:
    tables: dict[str, _Table] = {}
    for kind, rest in _lines(saved):
        if kind == "*":
            table = tables.setdefault(rest.strip(), _Table())
        elif tables and kind == ":":
            table.chains.add(rest.partition(" ")[0])
        elif tables and kind == "-" and rest.startswith("A "):
            table.rules.append(f"-{rest}")
    return tables


def _lines(saved: str) -> Iterator[tuple[str, str]]:
    for line in saved.splitlines():
        if len(line) > 1:
            yield line[0], line[1:].rstrip()
