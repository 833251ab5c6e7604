"""Who may send packets of the overlay: the machines that hold leases, by an nft set of their addresses.

Whoever knows the MAC of a vxlan device, and reaches its port, could otherwise send packets into the overlay
as anybody. It looks at our VNI only, for another's devices may have the port, too. udp checks that itself.

And a container that may send raw packets, as Docker's may, could send to a peer in another peer's name, for
that comes from no machine's own address: such a packet is dropped on its way out, by the way back to its
source, which is not where it came from.

The table is our own, whatever makes the other rules; like a vxlan device it stays when flanneld ends.
"""

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from flanneld_py.firewall.program import ProgramFailed, ProgramMissing, run
from flanneld_py.firewall.resync import Resync
from flanneld_py.kernel.nft_sets import NftSets
from flanneld_py.subnet import Address

__all__ = ["SourceCheckSpec", "SourceSet", "remove", "remove_all", "text", "text_of_forged"]

logger = logging.getLogger(__name__)

COUNTER: Final = "dropped"
FORGED: Final = "forged"

_SETS: Final[dict[int, tuple[str, str]]] = {4: ("ipv4", "ip"), 6: ("ipv6", "ip6")}

_TABLES: Final = re.compile(r"flannel-(vxlan|udp)\.[0-9]+")
"""The names of these tables."""


@dataclass(frozen=True, slots=True)
class SourceCheckSpec:
    """The packets of the overlay that come to a UDP port, and those that go there, by IP of these versions.

    `vni` is that of vxlan, None for udp; `under` is the external interface's index.
    """

    port: int
    versions: tuple[int, ...]
    under: int
    vni: int | None = None

    @property
    def table(self) -> str:
        """The name of the table, of the family inet."""
        return f"flannel-udp.{self.port}" if self.vni is None else f"flannel-vxlan.{self.vni}"


def text(guarded: SourceCheckSpec, addresses: Iterable[Address] = ()) -> str:
    """What nft makes it of, or makes it anew, with these addresses in its sets; elements and counter stay."""
    table = f"inet {guarded.table}"
    lines = [
        f"add table {table}",
        f"add counter {table} {COUNTER}",
        f"add counter {table} {FORGED}",
        *(f"add set {table} {name} {{ type {name}_addr ; }}" for name, _ in _SETS.values()),
    ]
    for name, members in _by_set(addresses).items():
        lines.append(f"add element {table} {name} {{ {', '.join(map(str, members))} }}")
    if guarded.vni is None:
        return "".join(f"{line}\n" for line in lines)
    # Before anybody's rules, after the kernel has put fragments together.
    lines.append(f"add chain {table} input {{ type filter hook input priority -10 ; policy accept ; }}")
    lines.append(f"flush chain {table} input")
    for version in guarded.versions:
        name, family = _SETS[version]
        # RFC 7348: the VNI is behind the UDP header (8 bytes), flags (1) and reserved bits (3).
        which = f"udp dport {guarded.port} @th,96,24 {guarded.vni} {family} saddr != @{name}"
        lines.append(f"add rule {table} input meta nfproto ipv{version} {which} counter name {COUNTER} drop")
    return "".join(f"{line}\n" for line in lines)


def text_of_forged(guarded: SourceCheckSpec) -> str:
    """The rest of it: what some kernels cannot do (CONFIG_NFT_FIB_INET), so it is asked for by itself."""
    table = f"inet {guarded.table}"
    lines = [
        f"add chain {table} forward {{ type filter hook forward priority -10 ; policy accept ; }}",
        f"flush chain {table} forward",
    ]
    for version in guarded.versions:
        name, family = _SETS[version]
        which = f"meta nfproto ipv{version} udp dport {guarded.port} {family} daddr @{name}"
        away = f"iif != {guarded.under} fib saddr . iif oif missing counter name {FORGED} drop"
        lines.append(f"add rule {table} forward {which} {away}")
    return "".join(f"{line}\n" for line in lines)


class SourceSet:
    """Keeps the set as the leases say. Where there is no nft, that is said once, and all are let in."""

    def __init__(self, guarded: SourceCheckSpec) -> None:
        self._guarded = guarded
        self._sets = NftSets(guarded.table)
        self._wanted: set[Address] = set()
        self._active = False
        self._told = ""
        self._told_forged = False
        self._generation = -1
        self._printed = ""
        self._resync = Resync(self._see_to_rules)

    def begin(self) -> None:
        """Have the table; nobody is let in yet that was not before."""
        self._make()

    def allow(self, addresses: Iterable[Address]) -> None:
        """These, and nobody else."""
        self._wanted = set(addresses)
        self._compare()

    def change(self, more: Collection[Address], less: Collection[Address]) -> None:
        """Some more, and some no more; one message to the kernel."""
        gone = {address for address in less if address in self._wanted and address not in more}
        new = {address for address in more if address not in self._wanted}
        self._wanted |= new
        self._wanted -= gone
        if not self._active or not (new or gone):
            return
        try:
            self._sets.change(_by_set(new), _by_set(gone))
        except OSError as error:
            logger.debug("Changing who may send: %s: comparing all", error)
            self._generation = -1
            self._compare()

    def repair(self) -> int:
        """Put right what others changed; how many addresses. The rules are seen to in a thread."""
        if not self._active:
            return 0
        try:
            generation = self._sets.generation()
        except OSError as error:
            logger.debug("Asking nftables for its generation: %s", error)
            return 0
        if generation == self._generation:
            return 0
        self._generation = generation
        return self._resync() + self._compare()

    def dropped(self) -> dict[str, int]:
        """Packets by reason, since the table was made. For any thread."""
        if not self._active:
            return {}
        reasons = {FORGED: "forged in a peer's name on this machine"}
        if self._guarded.vni is not None:
            reasons[COUNTER] = "the sending node holds no lease"
        try:
            found = {words: self._sets.packets(name) for name, words in reasons.items()}
        except OSError:
            return {}
        return {words: packets for words, packets in found.items() if packets}

    def close(self) -> None:
        """The table stays as it is."""
        self._active = False
        self._sets.close()

    def _see_to_rules(self) -> int:
        """Have the table as it was made, with all who may send in one go: nobody is kept out for a moment."""
        try:
            if self._printed and self._print() == self._printed:
                return 0
        except ProgramFailed as error:
            logger.debug("Looking at the rules for the VXLAN port: %s", error)
        return int(self._make())

    def _make(self) -> bool:
        try:
            run(["nft", "-f", "-"], text(self._guarded, tuple(self._wanted)))
        except ProgramFailed as error:
            self._tell(error)
            return False
        if not self._active:
            self._active = True
            if self._guarded.vni is not None:
                port, vni = self._guarded.port, self._guarded.vni
                logger.info("Taking packets of VNI %d at UDP port %d from peers only (nft)", vni, port)
        try:
            run(["nft", "-f", "-"], text_of_forged(self._guarded))
        except ProgramFailed as error:
            self._tell_forged(error)
        try:
            self._printed = self._print()
        except ProgramFailed as error:  # an old nft does not know -t: made anew each time, then
            logger.debug("Looking at the rules for the VXLAN port: %s", error)
        return True

    def _print(self) -> str:
        chains = ["input"] * (self._guarded.vni is not None) + ["forward"] * (not self._told_forged)
        return "".join(
            run(["nft", "-t", "list", "chain", "inet", self._guarded.table, chain]) for chain in chains
        )

    def _compare(self) -> int:
        """Have exactly the wanted ones in the sets; how many were not right."""
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
        except OSError as error:  # the table is gone, say: `repair` makes it anew
            logger.debug("Comparing who may send: %s", error)
            self._generation = -1
            return 0
        return sum(map(len, (*more.values(), *less.values())))

    def _tell_forged(self, error: OSError) -> None:
        if not self._told_forged:
            self._told_forged = True
            text = (
                "Packets that a container of this machine sends in a peer's name are not dropped: %s; "
                "containers without CAP_NET_RAW cannot send any"
            )
            logger.info(text, error)

    def _tell(self, error: OSError) -> None:
        if self._guarded.vni is None:
            self._tell_forged(error)
            return
        if str(error) == self._told:
            return
        self._told = str(error)
        remedy = "install the package nftables" if isinstance(error, ProgramMissing) else "put that right"
        logger.warning(
            "Packets for the VXLAN port are taken from whoever knows our MAC, not from peers only: %s; %s, "
            "or have it so with -vxlan-source-check=off",
            error,
            remedy,
        )


def _by_set(addresses: Iterable[Address]) -> Mapping[str, list[Address]]:
    found: dict[str, list[Address]] = {}
    for address in addresses:
        found.setdefault(_SETS[address.version][0], []).append(address)
    return found


def remove(guarded: SourceCheckSpec) -> None:
    """Have no such table, where that can be done: most machines have none."""
    try:
        run(["nft", "-f", "-"], f"add table inet {guarded.table}\ndelete table inet {guarded.table}\n")
    except ProgramFailed as error:
        logger.debug("No rules of an earlier run were looked for: %s", error)


def remove_all() -> Iterator[str]:
    """Take all of them away; what there was. Raises `ProgramFailed`."""
    for line in run(["nft", "list", "tables", "inet"]).splitlines():
        name = line.split()[-1]
        if _TABLES.fullmatch(name):
            run(["nft", "delete", "table", "inet", name])
            yield f"nft inet {name}"
