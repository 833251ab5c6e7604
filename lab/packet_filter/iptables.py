"""iptables' own matches and targets, which nft's JSON only names: read from a rule's words. Pure."""

import re
import shlex
from collections.abc import Iterator, Mapping

from lab.packet_filter.facts import Facts
from lab.packet_filter.model import Rule
from lab.packet_filter.three import Answer, all_of, opposite
from lab.packet_filter.values import kind_of_address

__all__ = ["TARGETS", "matched", "new_destination"]

TARGETS: Mapping[str, str] = {
    **{"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop"},
    **{"MASQUERADE": "masquerade", "SNAT": "masquerade", "DNAT": "rewrite", "REDIRECT": "rewrite"},
    **dict.fromkeys(("NETMAP", "NFQUEUE", "SYNPROXY", "TPROXY"), "unknown"),
}
"""What they come to; others let a packet go on."""

DESTINATIONS = (
    re.compile(r"\bdnat (?:ip6? )?to \[?([0-9a-f.:]+?)\]?(?::\d+)?(?: |$)"),
    re.compile(r"--to-destination \[?([0-9a-f.:]+?)\]?(?::\d+)?(?: |$)"),
)

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "conntrack": ("--ct",),
    "state": ("--ct", "--state"),
    "addrtype": ("--src-type", "--dst-type", "--limit-iface"),
}
"""By match: what its options begin with."""

Option = tuple[str, str, bool]
"""An option of a match, what follows it, and whether there is a `!` before it."""


def matched(name: str, rule: Rule, facts: Facts) -> Answer:
    """A match by its name: `-m name`."""
    if name == "comment":
        return True
    if name not in OPTIONS:
        return None
    options = _saved(rule.saved) if rule.saved else _told(rule.told)
    found = [_option(it, facts) for it in options if it[0].startswith(OPTIONS[name])]
    return all_of(found) if found else None


def _saved(text: str) -> Iterator[Option]:
    """As iptables-save writes them."""
    try:
        words = shlex.split(text)
    except ValueError:
        return
    for at, word in enumerate(words):
        if word.startswith("--"):
            yield word, words[at + 1] if at + 1 < len(words) else "", words[at - 1] == "!"


def _told(text: str) -> Iterator[Option]:
    """As nft translates them."""
    for negated, word in re.findall(r"\bct state (!= )?(\S+)", text):
        yield "--ctstate", word, bool(negated)
    if re.search(r"\bct (?!state\b)", text):
        yield "--ct", "", False
    for end, negated, word in re.findall(r"\bfib ([sd])addr type (!= )?(\S+)", text):
        yield {"s": "--src-type", "d": "--dst-type"}[end], word, bool(negated)


def _option(option: Option, facts: Facts) -> Answer:
    name, text, negated = option
    words = set(text.lower().split(","))
    found: Answer = None
    if name in {"--ctstate", "--state"}:
        found = _is_one(facts.state, words, {"snat", "dnat"})
    elif name in {"--src-type", "--dst-type"}:
        address = facts.source if name == "--src-type" else facts.destination
        found = _is_one(kind_of_address(facts, address), words, {"unspec", "broadcast", "anycast"})
    return opposite(found) if negated else found


def _is_one(known: str | None, words: set[str], others: set[str]) -> Answer:
    """Whether a word is one of these; some may be so besides."""
    if known is None:
        return None
    return True if known in words else (None if words & others else False)


def new_destination(rule: Rule) -> str:
    """The address that a rule of DNAT names; empty where it names none."""
    for item in rule.expressions:
        match item:
            case {"dnat": {"addr": str(address)}}:
                return address
    for pattern, text in ((DESTINATIONS[0], rule.told), (DESTINATIONS[1], rule.saved)):
        if found := pattern.search(text):
            return found[1]
    return ""
