"""A packet's way through the chains of a hook: what drops it, what may drop it, what rewrites it. Pure.

A way is walked with everything that it may come to, and with what it comes to if no rule matches of which
nobody can tell. What drops a packet is certain only if nothing else can become of it.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from lab.packet_filter.facts import Facts
from lab.packet_filter.iptables import new_destination
from lab.packet_filter.matching import branches
from lab.packet_filter.model import Chain, Drop, Rule, Ruleset

__all__ = ["Outcome", "drops", "evaluate"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a packet at a hook."""

    drop: Drop | None = None
    """The first thing that certainly drops it."""
    masquerades: Rule | None = None
    """The rule that gives it another source, if one does."""
    may_be_masqueraded: bool = False
    """Whether there is such a rule, if what nobody can tell were so."""
    rewrites: Rule | None = None
    """The rule that gives it another destination, if one does."""
    target: str = ""
    """That destination's address, where the rule names one."""
    perhaps: tuple[Drop, ...] = ()
    """What would drop it if what nobody can tell were so."""

    @property
    def passes(self) -> bool:
        """Whether it is not certainly dropped."""
        return self.drop is None


@dataclass(frozen=True, slots=True)
class _End:
    """Where a way through a chain ends."""

    kind: Literal["accept", "drop", "masquerade", "rewrite", "return"]
    chain: Chain
    rule: Rule | None = None

    @property
    def drop(self) -> Drop:
        """As what drops a packet."""
        return Drop(self.chain, self.rule)


def evaluate(rules: Ruleset, hook: str, facts: Facts) -> Outcome:
    """What the chains of a hook do with a packet, in their order."""
    found = Outcome()
    perhaps: list[Drop] = []
    for chain in rules.at(hook, facts.family, facts.out if hook == "egress" else facts.into):
        is_nat = chain.kind == "nat"
        if is_nat and facts.state not in (None, "new"):
            continue  # what conntrack knows is translated without it
        certain = not is_nat or facts.state == "new"
        ends, usual = _Walk(rules, facts).through_base(chain)
        dropping = [end.drop for end in ends if end.kind == "drop"]
        if certain and len(dropping) == len(ends):
            return Outcome(drop=usual.drop, perhaps=tuple(perhaps))
        perhaps += dropping
        found = _translated(found, ends, usual if certain else None)
    return replace(found, perhaps=tuple(perhaps))


def _translated(found: Outcome, ends: list[_End], usual: _End | None) -> Outcome:
    if any(end.kind == "masquerade" for end in ends):
        found = replace(found, may_be_masqueraded=True)
    rule = usual.rule if usual is not None else None
    if usual is None or rule is None:
        return found
    if usual.kind == "masquerade" and found.masquerades is None:
        return replace(found, masquerades=rule)
    if usual.kind == "rewrite" and found.rewrites is None:
        return replace(found, rewrites=rule, target=new_destination(rule))
    return found


def drops(rules: Ruleset, hook: str, facts: Facts) -> tuple[Drop, ...]:
    """Everything that certainly drops a packet at a hook: what would, too, if the one before did not."""
    found: list[Drop] = []
    while (drop := evaluate(rules, hook, facts).drop) is not None:
        found.append(drop)
        rules = rules.without(drop)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Walk:
    """One packet's way through one base chain."""

    rules: Ruleset
    facts: Facts
    inside: list[str] = field(default_factory=list)
    """The chains that it is in; one that leads back to itself, which the kernel refuses, is left."""

    def through_base(self, chain: Chain) -> tuple[list[_End], _End]:
        """All ends that a packet may come to, and the one that it comes to if nothing unknown matches."""
        ends, usual = self._through(chain)
        policy = _End("drop" if chain.policy == "drop" else "accept", chain)
        named = [policy if end.kind == "return" else end for end in ends]
        return named, policy if usual.kind == "return" else usual

    def _through(self, chain: Chain) -> tuple[list[_End], _End]:
        at_end = _End("return", chain)
        if chain.name in self.inside:
            return [at_end], at_end
        self.inside.append(chain.name)
        ends: list[_End] = []
        usual: _End | None = None
        for rule in chain.rules:
            new, likely, goes_on = self._rule(chain, rule)
            ends += new
            usual = usual or likely
            if not goes_on:
                break
        else:
            ends.append(at_end)
        self.inside.pop()
        return ends, usual or at_end

    def _rule(self, chain: Chain, rule: Rule) -> tuple[list[_End], _End | None, bool]:
        """The ends that it may lead to, the one that it does lead to, and whether the next may follow."""
        ends: list[_End] = []
        for answer, verdict, target in branches(rule, self.rules, self.facts):
            if answer is False:
                continue
            new, likely, goes_on = self._verdict(chain, rule, verdict, target)
            ends += new
            if answer is True:
                return ends, likely, goes_on
        return ends, None, True

    def _verdict(
        self, chain: Chain, rule: Rule, verdict: str, target: str
    ) -> tuple[list[_End], _End | None, bool]:
        """As `_rule`, of a branch that is taken."""
        match verdict:
            case "accept" | "drop" | "masquerade" | "rewrite" | "return":
                end = _End(verdict, chain, rule)
                return [end], end, False
            case "jump" | "goto" if (other := self.rules.chain(chain, target)) is not None:
                ends, usual = self._through(other)
                if verdict == "goto":
                    return ends, usual, False
                further = [end for end in ends if end.kind != "return"]
                return further, usual if usual.kind != "return" else None, len(further) < len(ends)
            case "unknown":
                return [_End("accept", chain, rule), _End("drop", chain, rule)], None, True
        return [], None, True
