"""A packet filter as values: tables of nftables, and of iptables as nftables has them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lab.packet_filter.words import words_of

__all__ = ["Chain", "Drop", "Expression", "Rule", "Ruleset"]

Expression = Mapping[str, Any]

FAMILIES = {4: ("ip", "inet", "netdev"), 6: ("ip6", "inet", "netdev")}
"""By version of IP: the families of tables that see a packet."""

OF_A_DEVICE = ("ingress", "egress")
"""The hooks that each device has for itself."""

PROGRAMS = {"ip": "iptables", "ip6": "ip6tables"}
OF_IPTABLES = {"filter", "nat", "mangle", "raw", "security"}
BUILT_IN = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
"""The chains of iptables that have a policy."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, and where it is."""

    family: str
    table: str
    chain: str
    handle: int
    expressions: tuple[Expression, ...]
    """As nft's JSON has them."""
    told: str = ""
    """As nft writes it, without its counter."""
    saved: str = ""
    """As iptables-save writes it, of a rule of iptables."""

    @property
    def text(self) -> str:
        """For a person."""
        return self.saved or self.told or " ".join(filter(None, map(words_of, self.expressions)))

    @property
    def packets(self) -> int | None:
        """What its counter says; None if it has none."""
        for item in self.expressions:
            if isinstance(item.get("counter"), Mapping):
                return int(item["counter"]["packets"])
        return None


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; a base chain has a hook."""

    family: str
    table: str
    name: str
    rules: tuple[Rule, ...] = ()
    hook: str = ""
    kind: str = ""
    """filter, nat or route."""
    priority: int = 0
    policy: str = "accept"
    devices: tuple[str, ...] = ()
    """Of a chain at a hook of devices: whose."""

    @property
    def title(self) -> str:
        """For a person."""
        return f"{self.family} {self.table} {self.name}"

    @property
    def of_a_device(self) -> bool:
        """Whether each device has its hook for itself."""
        return self.hook in OF_A_DEVICE

    def at_device(self, device: str) -> bool:
        """Whether it is at the hook of this one."""
        return any(device == it or (it.endswith("*") and device.startswith(it[:-1])) for it in self.devices)

    def sees(self, family: int, device: str | None) -> bool:
        """Whether packets of a family come through it, at a device where its hook is a device's.

        A packet of which nobody knows the device is taken for one of the chain's.
        """
        if self.family not in FAMILIES[family]:
            return False
        return not self.of_a_device or device is None or self.at_device(device)


@dataclass(frozen=True, slots=True)
class Drop:
    """What drops a packet: a rule, or the policy of a chain."""

    chain: Chain
    """Where the rule is: one that was jumped to, perhaps."""
    rule: Rule | None

    @property
    def text(self) -> str:
        """For a person who knows the chain."""
        return self.rule.text if self.rule is not None else f"policy {self.chain.policy}"

    @property
    def words(self) -> str:
        """For a person, with its place."""
        handle = f", handle {self.rule.handle}" if self.rule is not None else ""
        return f"{self.chain.title}{handle}: {self.text}"

    @property
    def fix(self) -> tuple[str, ...]:
        """The command that undoes it, and nothing else."""
        chain = self.chain
        place = (chain.family, chain.table, chain.name)
        if self.rule is not None:
            return ("nft", "delete", "rule", *place, "handle", str(self.rule.handle))
        if chain.family in PROGRAMS and chain.table in OF_IPTABLES and chain.name in BUILT_IN:
            return (PROGRAMS[chain.family], "-t", chain.table, "-P", chain.name, "ACCEPT")
        return ("nft", "add", "chain", *place, "{ policy accept; }")


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All tables of a network namespace."""

    chains: tuple[Chain, ...] = ()
    sets: Mapping[tuple[str, str, str], Sequence[Any]] = field(default_factory=dict)
    """Elements of sets and maps, by family, table and name."""

    def chain(self, beside: Chain, name: str) -> Chain | None:
        """Another chain of the same table."""
        place = (beside.family, beside.table, name)
        return next((it for it in self.chains if (it.family, it.table, it.name) == place), None)

    def at(self, hook: str, family: int, device: str | None = None) -> tuple[Chain, ...]:
        """The base chains that packets pass at a hook, in their order."""
        found = [it for it in self.chains if it.hook == hook and it.sees(family, device)]
        return tuple(sorted(found, key=lambda chain: chain.priority))

    def without(self, drop: Drop) -> "Ruleset":
        """The rules if what drops a packet were not there."""

        def mended(chain: Chain) -> Chain:
            if drop.rule is None:
                return replace(chain, policy="accept")
            return replace(chain, rules=tuple(rule for rule in chain.rules if rule is not drop.rule))

        return replace(
            self, chains=tuple(mended(chain) if chain is drop.chain else chain for chain in self.chains)
        )
