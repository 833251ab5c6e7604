"""What a machine is asked for its rules. A program on a machine has this module, too. Pure."""

from collections.abc import Mapping, Sequence

__all__ = ["COMMANDS"]

COMMANDS: Mapping[str, Sequence[str]] = {
    "nft": ("nft", "--json", "list", "ruleset"),
    "words": ("nft", "--handle", "list", "ruleset"),
    "iptables": ("iptables-save",),
    "ip6tables": ("ip6tables-save",),
}
"""The first one is evaluated. It only names the matches of iptables' own; the others have them in words, and
a rule as a person knows it."""
