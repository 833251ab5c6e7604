"""Packet filter rules: masquerading, and accepting the overlay's packets in FORWARD.

Like flannel's they stay when flanneld exits. Docker since 1.13 sets the policy of FORWARD to DROP; without
the accepting rules no packet from another machine reaches a container.
"""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.firewall import pod_sources, source_set
from flanneld_py.firewall.iptables import Iptables
from flanneld_py.firewall.nftables import Nftables
from flanneld_py.firewall.program import ProgramFailed, ProgramMissing, run
from flanneld_py.firewall.rules import FAMILIES, Family, Overlay, Wanted, wanted
from flanneld_py.subnet import Subnet

__all__ = ["Firewall", "remove_all"]

logger = logging.getLogger(__name__)

_Tool: TypeAlias = Iptables | Nftables


class Firewall:
    """Flannel's rules for all networks of this process, in iptables or in nftables. For any thread."""

    def __init__(self, *, ip_masq: bool, random_fully: bool, forward_rules: bool) -> None:
        self._ip_masq = ip_masq
        self._random_fully = random_fully
        self._forward_rules = forward_rules
        self._networks: dict[str, tuple[NetworkConfig, Subnet]] = {}
        self._nftables = False
        self._made: set[Family] = set()
        self._failing: set[Family] = set()
        self._reported_dropping: set[str] = set()
        self._lock = threading.Lock()

    def set(self, network: NetworkConfig, subnet: Subnet, name: str = "") -> None:
        """Install the rules for our subnet in the network `name` of -networks, replacing earlier ones.

        Raises `Fatal` if masquerading is requested and cannot be installed. A failure to accept forwarded
        packets is only logged, since the rules may not be needed.
        """
        with self._lock:
            if not self._networks:
                self._nftables = network.nftables
                self._remove_unused()
            self._networks[name] = network, subnet
            for family in FAMILIES:
                rules = self._wanted(family)
                if not rules.masquerade and not rules.forward:
                    _remove(self._tool(family))
                elif made := self._have(rules, fresh=True):
                    logger.info("Installed the packet filter rules: %s", ", ".join(made))

    def sync(self) -> int:
        """Repair what others changed; return the number of chains. A persistent failure is logged once."""
        with self._lock:
            repaired: list[str] = []
            for family in FAMILIES:
                rules = self._wanted(family)
                if rules.masquerade or rules.forward:
                    repaired += self._have(rules, fresh=False)
        if repaired:
            logger.warning("Repaired the packet filter rules: %s", ", ".join(repaired))
        return len(repaired)

    def _wanted(self, family: Family) -> Wanted:
        pairs = [
            (config.overlay.ipv4, subnet.ipv4) if family == 4 else (config.overlay.ipv6, subnet.ipv6)
            for config, subnet in self._networks.values()
        ]
        return wanted(
            family,
            [Overlay(network, subnet) for network, subnet in pairs if network and subnet],
            ip_masq=self._ip_masq,
            random_fully=self._random_fully,
            forward_rules=self._forward_rules,
        )

    def _tool(self, family: Family) -> _Tool:
        return Nftables(family) if self._nftables else Iptables(family)

    def _remove_unused(self) -> None:
        """Remove what an earlier run, or flannel's own daemon, installed with the other tool."""
        for family in FAMILIES:
            _remove(Iptables(family) if self._nftables else Nftables(family))

    def _have(self, rules: Wanted, *, fresh: bool) -> tuple[str, ...]:
        """Install the rules; return the names of changed chains. `fresh`: nothing from before may stay."""
        family = rules.family
        tool = self._tool(family)
        try:
            # A failed earlier attempt may have been for another subnet.
            changed = self._ensure(tool, rules, keep=not fresh and family not in self._failing)
        except ProgramFailed as error:
            if rules.masquerade and fresh and family not in self._made:
                raise Fatal(
                    f"Failed to setup IP Masquerade: {error}; {_remedy(error)}, or leave -ip-masq out",
                    code=Exit.KERNEL,
                ) from error
            if family not in self._failing:
                self._failing.add(family)
                logger.warning("The packet filter rules cannot be installed: %s; %s", error, _remedy(error))
            return ()
        self._made.add(family)
        if family in self._failing:
            self._failing.remove(family)
            logger.info("The packet filter rules are in place again")
        if rules.forward:
            self._warn_of_dropping(tool)
        return changed

    def _ensure(self, tool: _Tool, rules: Wanted, *, keep: bool) -> tuple[str, ...]:
        try:
            return tool.ensure(rules, keep=keep)
        except ProgramFailed as error:
            if not (rules.masquerade and rules.random_fully) or error.for_now:
                raise
            # iptables before 1.6.2 and kernels before 3.13 do not support it.
            changed = tool.ensure(replace(rules, random_fully=False), keep=keep)
            logger.warning(
                "Masquerading keeps source ports, because random ones are not supported here: %s", error
            )
            self._random_fully = False
            return changed

    def _warn_of_dropping(self, tool: _Tool) -> None:
        """Warn of other chains that may drop what our own table accepts; in iptables that cannot happen."""
        try:
            new = set(tool.dropping()) - self._reported_dropping
        except ProgramFailed as error:
            logger.debug("Cannot list the chains that drop forwarded packets: %s", error)
            return
        if new:
            self._reported_dropping |= new
            logger.warning(
                "The policy of nft's chain %s is drop, which flannel's table cannot override: accept "
                "the overlay there, change the policy, or leave EnableNFTables out",
                ", ".join(sorted(new)),
            )


_PACKAGES: Final = {"nft": "nftables"}


def _remedy(error: ProgramFailed) -> str:
    if isinstance(error, ProgramMissing):
        return f"install the package {_PACKAGES.get(error.program, 'iptables')}"
    return "fix that"


def _remove(tool: _Tool) -> None:
    """Remove flannel's rules, if the tool works here: most machines have none."""
    try:
        if removed := tool.remove():
            logger.info("Removed the packet filter rules of an earlier run: %s", ", ".join(removed))
    except ProgramFailed as error:
        logger.debug("Cannot look for rules of an earlier run: %s", error)


_KINDS: Final = ("", "-nft", "-legacy")


def remove_all() -> Iterator[str]:
    """Remove everything that any flannel installed with any of the tools; yield what there was.

    Raises `ProgramFailed`, an OSError, after it has tried everything.
    """
    tools: list[_Tool] = [Iptables(family, kind) for kind in _KINDS for family in FAMILIES]
    failures: list[str] = []
    try:
        yield from _remove_tables()
    except ProgramMissing:
        pass
    except ProgramFailed as error:
        if "Protocol not supported" not in str(error):
            failures.append(str(error))
    for tool in [*tools, *map(Nftables, FAMILIES)]:
        try:
            yield from tool.remove()
        except ProgramMissing:
            continue
        except ProgramFailed as error:
            # A kernel without support for this kind has no rules of it.
            if "Protocol not supported" not in str(error):
                failures.append(str(error))
    if failures:
        raise ProgramFailed("; ".join(failures))


def _remove_tables() -> Iterator[str]:
    """Remove the tables of source checks; yield their names. Raises `ProgramFailed`."""
    for line in run(["nft", "list", "tables", "inet"]).splitlines():
        name = line.split()[-1]
        if any(names.fullmatch(name) for names in (source_set.TABLES, pod_sources.TABLES)):
            run(["nft", "delete", "table", "inet", name])
            yield f"nft inet {name}"
