"""Source checks with nft: only machines that hold leases may send packets of the overlay.

Otherwise whoever knows the MAC of a vxlan device, and reaches its port, could inject packets into the overlay
with any source. An nft set holds the allowed addresses. The check applies to our VNI only, because other
devices may share the port. The udp backend checks sources itself.

In addition, this machine's containers could send to a peer's overlay port themselves. Masqueraded, such a
packet has this machine's address, and passes the peer's check with whatever is in it; a container that may
send raw packets, as Docker's may, can give it another peer's address. Both are dropped on their way out: the
source must be a machine that holds a lease, and the route back to it must lead to the interface that the
packet came from (a reverse-path check).

The table is separate from those of the other rules; like a vxlan device it stays when flanneld exits.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from flanneld_py.firewall.nft_table import NftTable, remove_table
from flanneld_py.firewall.program import ProgramFailed, ProgramMissing, run
from flanneld_py.firewall.resync import Resync
from flanneld_py.subnet import Address

__all__ = ["TABLES", "SourceCheckSpec", "SourceSet", "remove", "text", "text_of_forged"]

logger = logging.getLogger(__name__)

COUNTER: Final = "dropped"
INJECTED: Final = "injected"
FORGED: Final = "forged"

_SETS: Final[dict[int, tuple[str, str]]] = {4: ("ipv4", "ip"), 6: ("ipv6", "ip6")}

TABLES: Final = re.compile(r"flannel-(vxlan|udp)\.[0-9]+")
"""Names of these tables."""


@dataclass(frozen=True, slots=True)
class SourceCheckSpec:
    """Selects the overlay's packets to and from a UDP port, over IP of these versions.

    `vni` is vxlan's, or None for udp; `under` is the index of the external interface.
    """

    port: int
    versions: tuple[int, ...]
    under: int
    vni: int | None = None

    @property
    def table(self) -> str:
        """Name of the table, in the family inet."""
        return f"flannel-udp.{self.port}" if self.vni is None else f"flannel-vxlan.{self.vni}"


def text(guarded: SourceCheckSpec, addresses: Iterable[Address] = ()) -> str:
    """Write nft input that creates or recreates the table; existing elements and counters stay."""
    table = f"inet {guarded.table}"
    lines = [
        f"add table {table}",
        f"add counter {table} {COUNTER}",
        f"add counter {table} {INJECTED}",
        f"add counter {table} {FORGED}",
        *(f"add set {table} {name} {{ type {name}_addr ; }}" for name, _ in _SETS.values()),
    ]
    for name, members in _by_set(addresses).items():
        lines.append(f"add element {table} {name} {{ {', '.join(map(str, members))} }}")
    lines.append(f"add chain {table} forward {{ type filter hook forward priority -10 ; policy accept ; }}")
    lines.append(f"flush chain {table} forward")
    for version in guarded.versions:
        name, family = _SETS[version]
        which = f"iif != {guarded.under} {_of_ours(guarded)} {family} daddr @{name} {family} saddr != @{name}"
        lines.append(
            f"add rule {table} forward meta nfproto ipv{version} {which} counter name {INJECTED} drop"
        )
    if guarded.vni is None:
        return "".join(f"{line}\n" for line in lines)
    # Before all other rules, after the kernel has reassembled fragments.
    lines.append(f"add chain {table} input {{ type filter hook input priority -10 ; policy accept ; }}")
    lines.append(f"flush chain {table} input")
    for version in guarded.versions:
        name, family = _SETS[version]
        which = f"{_of_ours(guarded)} {family} saddr != @{name}"
        lines.append(f"add rule {table} input meta nfproto ipv{version} {which} counter name {COUNTER} drop")
    return "".join(f"{line}\n" for line in lines)


def text_of_forged(guarded: SourceCheckSpec) -> str:
    """Write the nft input for the reverse-path check, to be added to that of `text`.

    It is separate, as some kernels lack CONFIG_NFT_FIB_INET.
    """
    table = f"inet {guarded.table}"
    lines = []
    for version in guarded.versions:
        name, family = _SETS[version]
        which = f"meta nfproto ipv{version} udp dport {guarded.port} {family} daddr @{name}"
        away = f"iif != {guarded.under} fib saddr . iif oif missing counter name {FORGED} drop"
        lines.append(f"add rule {table} forward {which} {away}")
    return "".join(f"{line}\n" for line in lines)


def _of_ours(guarded: SourceCheckSpec) -> str:
    """Select the overlay's packets by their UDP header, and by the VNI where there is one."""
    # RFC 7348: the VNI follows the UDP header (8 bytes), flags (1) and reserved bits (3).
    return f"udp dport {guarded.port}" + (f" @th,96,24 {guarded.vni}" if guarded.vni is not None else "")


class SourceSet:
    """Keeps the set in line with the leases. Without nft this is logged once and all senders are accepted."""

    def __init__(self, guarded: SourceCheckSpec) -> None:
        self._guarded = guarded
        chains = ["input"] * (guarded.vni is not None) + ["forward"]
        self._table = NftTable(guarded.table, chains)
        self._sets = self._table.sets
        self._wanted: set[Address] = set()
        self._active = False
        self._told = ""
        self._reported_forged = False
        self._resync = Resync(self._repair_rules)

    def begin(self) -> None:
        """Create the table; this does not allow any new address."""
        self._make()

    def allow(self, addresses: Iterable[Address]) -> None:
        """Allow exactly these addresses."""
        self._wanted = set(addresses)
        self._compare()

    def change(self, more: Collection[Address], less: Collection[Address]) -> None:
        """Allow and disallow some addresses, with one message to the kernel."""
        gone = {address for address in less if address in self._wanted and address not in more}
        new = {address for address in more if address not in self._wanted}
        self._wanted |= new
        self._wanted -= gone
        if not self._active or not (new or gone):
            return
        try:
            self._sets.change(_by_set(new), _by_set(gone))
        except OSError as error:
            logger.debug("Cannot update the set of allowed senders: %s; comparing all of it", error)
            self._table.look_again()
            self._compare()

    def repair(self) -> int:
        """Repair what others changed; return the number of addresses. Rules are repaired in a thread."""
        if not self._active:
            return 0
        if not self._table.may_have_changed():
            return 0
        return self._resync() + self._compare()

    def dropped(self) -> dict[str, int]:
        """Return dropped packets by reason since the table was created. For any thread."""
        if not self._active:
            return {}
        reasons = {
            INJECTED: "sent to a peer's overlay port by no machine of the overlay",
            FORGED: "forged in a peer's name on this machine",
        }
        if self._guarded.vni is not None:
            reasons[COUNTER] = "the sending node holds no lease"
        try:
            found = {words: self._sets.packets(name) for name, words in reasons.items()}
        except OSError:
            return {}
        return {words: packets for words, packets in found.items() if packets}

    def close(self) -> None:
        """Close; the table stays."""
        self._active = False
        self._table.close()

    def _repair_rules(self) -> int:
        """Recreate the table if changed, in one transaction: no allowed sender is dropped meanwhile."""
        if self._table.is_unchanged():
            return 0
        return int(self._make())

    def _make(self) -> bool:
        try:
            run(["nft", "-f", "-"], text(self._guarded, tuple(self._wanted)))
        except ProgramFailed as error:
            self._warn(error)
            return False
        if not self._active:
            self._active = True
            if self._guarded.vni is not None:
                port, vni = self._guarded.port, self._guarded.vni
                logger.info("Accepting packets of VNI %d on UDP port %d from peers only (nft)", vni, port)
        try:
            run(["nft", "-f", "-"], text_of_forged(self._guarded))
        except ProgramFailed as error:
            self._report_forged(error)
        self._table.remember()
        return True

    def _compare(self) -> int:
        """Make the sets contain exactly the wanted addresses; return how many differed."""
        if not self._active:
            return 0
        wanted = _by_set(self._wanted)
        try:
            there = {name: self._sets.listed(name) for name, _ in _SETS.values()}
            more = {name: set(wanted.get(name, ())) - there[name] for name in there}
            less = {name: there[name] - set(wanted.get(name, ())) for name in there}
            self._sets.change(
                {name: addresses for name, addresses in more.items() if addresses},
                {name: addresses for name, addresses in less.items() if addresses},
            )
        except OSError as error:  # for example, the table is gone: `repair` recreates it
            logger.debug("Cannot compare the set of allowed senders: %s", error)
            self._table.look_again()
            return 0
        return sum(map(len, (*more.values(), *less.values())))

    def _report_forged(self, error: OSError) -> None:
        if not self._reported_forged:
            self._reported_forged = True
            text = (
                "Packets that a local container sends with a peer's source address are not dropped: %s; "
                "containers without CAP_NET_RAW cannot send such packets"
            )
            logger.info(text, error)

    def _warn(self, error: OSError) -> None:
        if str(error) == self._told:
            return
        self._told = str(error)
        remedy = "install the package nftables" if isinstance(error, ProgramMissing) else "fix that"
        if self._guarded.vni is None:
            text = "What local containers send to peers' UDP port %d themselves is not dropped: %s; %s"
            logger.info(text, self._guarded.port, error, remedy)
            return
        logger.warning(
            "The VXLAN port accepts packets from anyone who knows our MAC, not only from peers: %s; %s, "
            "or accept this with -vxlan-source-check=off",
            error,
            remedy,
        )


def _by_set(addresses: Iterable[Address]) -> Mapping[str, list[Address]]:
    found: dict[str, list[Address]] = {}
    for address in addresses:
        found.setdefault(_SETS[address.version][0], []).append(address)
    return found


def remove(guarded: SourceCheckSpec) -> None:
    """Remove such a table, if nft works here: most machines have none."""
    remove_table(guarded.table)
