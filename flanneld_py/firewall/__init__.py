"""The packet filter's rules: masquerading, and letting the overlay through FORWARD.

As flannel's they stay when flanneld ends. Docker since 1.13 sets the policy of FORWARD to DROP; without the
rules for that, nothing from another machine reaches a container.
"""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.firewall import source_set
from flanneld_py.firewall.iptables import Iptables
from flanneld_py.firewall.nftables import Nftables
from flanneld_py.firewall.program import ProgramFailed, ProgramMissing
from flanneld_py.firewall.rules import FAMILIES, Family, Overlay, Wanted, wanted
from flanneld_py.subnet import Subnet

__all__ = ["Firewall", "remove_all"]

logger = logging.getLogger(__name__)

_Tool: TypeAlias = Iptables | Nftables


class Firewall:
    """Flannel's rules for every network of this process, in iptables or in nftables. For any thread."""

    def __init__(self, *, ip_masq: bool, random_fully: bool, forward_rules: bool) -> None:
        self._ip_masq = ip_masq
        self._random_fully = random_fully
        self._forward_rules = forward_rules
        self._networks: dict[str, tuple[NetworkConfig, Subnet]] = {}
        self._nftables = False
        self._made: set[Family] = set()
        self._troubled: set[Family] = set()
        self._told_dropping: set[str] = set()
        self._lock = threading.Lock()

    def set(self, network: NetworkConfig, subnet: Subnet, name: str = "") -> None:
        """Have the rules for this subnet of ours, and no other of the network called `name` in -networks.

        Raises `Fatal` if masquerading is asked for and cannot be had. That forwarded packets cannot be let
        through is only told, for it may not be needed.
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
                    logger.info("Made the packet filter's rules: %s", ", ".join(made))

    def sync(self) -> int:
        """Put right what others changed; how many chains. A failure is told once, until it is over."""
        with self._lock:
            repaired: list[str] = []
            for family in FAMILIES:
                rules = self._wanted(family)
                if rules.masquerade or rules.forward:
                    repaired += self._have(rules, fresh=False)
        if repaired:
            logger.warning("Put right the packet filter's rules: %s", ", ".join(repaired))
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
        """What an earlier run, or flannel's own daemon, made with the other program."""
        for family in FAMILIES:
            _remove(Iptables(family) if self._nftables else Nftables(family))

    def _have(self, rules: Wanted, *, fresh: bool) -> tuple[str, ...]:
        """The names of the chains that had to be changed; `fresh` if nothing of before may stay."""
        family = rules.family
        tool = self._tool(family)
        try:
            # What could not be had may have been another subnet's.
            changed = self._ensure(tool, rules, keep=not fresh and family not in self._troubled)
        except ProgramFailed as error:
            if rules.masquerade and fresh and family not in self._made:
                raise Fatal(
                    f"Failed to setup IP Masquerade: {error}; {_remedy(error)}, or leave -ip-masq out",
                    code=Exit.KERNEL,
                ) from error
            if family not in self._troubled:
                self._troubled.add(family)
                logger.warning("The packet filter's rules cannot be had: %s; %s", error, _remedy(error))
            return ()
        self._made.add(family)
        if family in self._troubled:
            self._troubled.remove(family)
            logger.info("The packet filter's rules can be had again")
        if rules.forward:
            self._tell_dropping(tool)
        return changed

    def _ensure(self, tool: _Tool, rules: Wanted, *, keep: bool) -> tuple[str, ...]:
        try:
            return tool.ensure(rules, keep=keep)
        except ProgramFailed as error:
            if not (rules.masquerade and rules.random_fully) or error.for_now:
                raise
            # Programs before 1.6.2 and kernels before 3.13 do not know it.
            changed = tool.ensure(replace(rules, random_fully=False), keep=keep)
            logger.warning("Masquerading keeps source ports, for they cannot be random here: %s", error)
            self._random_fully = False
            return changed

    def _tell_dropping(self, tool: _Tool) -> None:
        """What our own table accepts, another may still drop, unlike in iptables."""
        try:
            new = set(tool.dropping()) - self._told_dropping
        except ProgramFailed as error:
            logger.debug("What others drop is not known: %s", error)
            return
        if new:
            self._told_dropping |= new
            logger.warning(
                "The policy of nft's chain %s is drop, which flannel's table does not overrule: accept "
                "the overlay there, change the policy, or leave EnableNFTables out",
                ", ".join(sorted(new)),
            )


_PACKAGES: Final = {"nft": "nftables"}


def _remedy(error: ProgramFailed) -> str:
    if isinstance(error, ProgramMissing):
        return f"install the package {_PACKAGES.get(error.program, 'iptables')}"
    return "put that right"


def _remove(tool: _Tool) -> None:
    """Take away flannel's rules, where that can be done: most machines have none."""
    try:
        if removed := tool.remove():
            logger.info("Removed the packet filter's rules of an earlier run: %s", ", ".join(removed))
    except ProgramFailed as error:
        logger.debug("No rules of an earlier run were looked for: %s", error)


_KINDS: Final = ("", "-nft", "-legacy")


def remove_all() -> Iterator[str]:
    """Take away everything that any flannel made, by whichever program; what there was.

    Raises `ProgramFailed`, an OSError, when it has tried everything.
    """
    tools: list[_Tool] = [Iptables(family, kind) for kind in _KINDS for family in FAMILIES]
    failures: list[str] = []
    try:
        yield from source_set.remove_all()
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
            # A kernel without this kind has no rules of it.
            if "Protocol not supported" not in str(error):
                failures.append(str(error))
    if failures:
        raise ProgramFailed("; ".join(failures))
