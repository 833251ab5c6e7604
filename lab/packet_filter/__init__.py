"""What a machine's packet filter does with a packet: nftables, and with it iptables-nft. Pure.

`COMMANDS` are what a machine is asked, `parse_ruleset` reads their answers, and `evaluate` walks the rules as
the kernel does. What a rule asks may be unknown here: a fact about the packet, a set, a match that only the
kernel can tell. Then it is neither said to match nor not to; what would drop a packet if it did is named, and
what such a rule may have accepted is not said to be dropped.
"""

from lab.packet_filter.evaluate import Outcome, drops, evaluate
from lab.packet_filter.facts import Address, Facts
from lab.packet_filter.model import Chain, Drop, Rule, Ruleset
from lab.packet_filter.parse import parse_ruleset
from lab.packet_filter.questions import COMMANDS

__all__ = [
    "COMMANDS", "Address", "Chain", "Drop", "Facts", "Outcome", "Rule", "Ruleset", "drops", "evaluate",
    "parse_ruleset",
]  # fmt: skip
