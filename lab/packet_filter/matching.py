"""What a rule asks and what it does: its branches, each with whether a packet takes it. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from lab.packet_filter import iptables
from lab.packet_filter.facts import Facts
from lab.packet_filter.members import compared, is_in
from lab.packet_filter.model import Expression, Rule, Ruleset
from lab.packet_filter.three import Answer, all_of, any_of, opposite
from lab.packet_filter.values import ABSENT, value_of

__all__ = ["branches"]

VERDICTS: Mapping[str, str] = {
    **{"accept": "accept", "drop": "drop", "reject": "drop", "return": "return"},
    **{"masquerade": "masquerade", "snat": "masquerade", "dnat": "rewrite", "redirect": "rewrite"},
    **dict.fromkeys(("queue", "fwd", "tproxy", "synproxy"), "unknown"),
}
"""By expression. A packet of which somebody else decides may be dropped or not."""

NEUTRAL = {
    "comment", "continue", "counter", "ct expectation", "ct helper", "ct timeout", "dup", "flow", "last",
    "log", "mangle", "notrack", "secmark",
}  # fmt: skip
"""Expressions after which the next one is looked at whatever the packet. Not so: limits and quotas."""


def branches(rule: Rule, rules: Ruleset, facts: Facts) -> Iterator[tuple[Answer, str, str]]:
    """Whether a packet takes it, what becomes of it then, and the chain that it leads to.

    The first branch that is taken ends the rule; where there is none, the next rule follows.
    """
    so_far: Answer = True
    for item in rule.expressions:
        if "vmap" in item:
            for answer, verdict, target in _of_map(item["vmap"], rule, rules, facts):
                yield all_of((so_far, answer)), verdict, target
        elif verdict_target := _verdict(item):
            yield so_far, *verdict_target
            return
        else:
            so_far = all_of((so_far, _matches(item, rule, rules, facts)))
        if so_far is False:
            return


def _verdict(item: Expression) -> tuple[str, str] | None:
    """What an expression does with a packet, and the chain that it leads to."""
    match item:
        case {"jump": {"target": target}}:
            return "jump", str(target)
        case {"goto": {"target": target}}:
            return "goto", str(target)
        case {"xt": {"type": "target", "name": name}} if name in iptables.TARGETS:
            return iptables.TARGETS[name], ""
    return next(((VERDICTS[word], "") for word in item if word in VERDICTS), None)


def _of_map(
    asked: Mapping[str, Any], rule: Rule, rules: Ruleset, facts: Facts
) -> Iterator[tuple[Answer, str, str]]:
    """A map of verdicts, as rules of their own."""
    pairs = _elements(asked["data"], rule, rules)
    known = value_of(asked["key"], facts)
    if known is ABSENT:
        return
    if pairs is None:
        yield None, "unknown", ""
        return
    others: list[Answer] = []
    for key, verdict in sorted(pairs, key=lambda pair: bool(pair[0] == "*")):
        answer = is_in(known, key) if key != "*" else opposite(any_of(others))
        others.append(answer)
        yield answer, *(_verdict(verdict) or ("", ""))


def _matches(item: Expression, rule: Rule, rules: Ruleset, facts: Facts) -> Answer:
    """Whether the next expression is looked at."""
    match item:
        case {"match": {"left": left, "op": op, "right": right}}:
            members = _elements(right, rule, rules)
            known = value_of(left, facts)
            if known is ABSENT:
                return False
            return None if members is None else compared(known, op, members)
        case {"xt": {"type": "match", "name": name}}:
            return iptables.matched(name, rule, facts)
        case {"xt": _}:
            return True  # a target that lets packets go on
        case {"set": about}:
            return None if about.get("stmt") else True
    return True if NEUTRAL & set(item) else None


def _elements(right: Any, rule: Rule, rules: Ruleset) -> Any:
    """A right side, of a named set its elements; None for one that is not known."""
    if isinstance(right, str) and right.startswith("@"):
        return rules.sets.get((rule.family, rule.table, right[1:]))
    return right["set"] if isinstance(right, Mapping) and "set" in right else right
