"""The rules that the packet filter needs for an overlay, independent of the program that installs them.

They are those of flannel 0.28 (pkg/trafficmngr), and so are the chains FLANNEL-POSTRTG and FLANNEL-FWD.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Literal, TypeAlias

from flanneld_py.subnet import Network

__all__ = [
    "FAMILIES",
    "MARK",
    "Family",
    "Overlay",
    "Purpose",
    "Rule",
    "RuleChanges",
    "Side",
    "Verdict",
    "Wanted",
]
__all__ += ["wanted"]

Family: TypeAlias = Literal[4, 6]
FAMILIES: Final[tuple[Family, ...]] = (4, 6)

MARK: Final = 0x4000
"""The mark of packets that kube-proxy masquerades itself."""

_MULTICAST: Final[dict[Family, Network]] = {4: IPv4Network("224.0.0.0/4"), 6: IPv6Network("ff00::/8")}


@dataclass(frozen=True, slots=True)
class Overlay:
    """The overlay network and this machine's subnet of it, both of one address family."""

    network: Network
    subnet: Network


class Purpose(Enum):
    """The purpose of a chain. The values are flannel's comments on its rules."""

    MASQUERADE = "flanneld masq"
    FORWARD = "flanneld forward"


class Verdict(Enum):
    """The verdict on a packet; RETURN leaves it to the rules after ours."""

    ACCEPT = "accept"
    RETURN = "return"
    MASQUERADE = "masquerade"


@dataclass(frozen=True, slots=True)
class Side:
    """A condition on a packet's source or destination: inside or outside a network."""

    network: Network
    inside: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """A verdict and the packets it applies to; `marked` selects those with kube-proxy's mark."""

    verdict: Verdict
    source: Side | None = None
    destination: Side | None = None
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """All rules wanted in one address family. A purpose without rules has no chain.

    `random_fully`: masquerading picks source ports at random (`--random-fully` of iptables).
    """

    family: Family
    masquerade: tuple[Rule, ...] = ()
    forward: tuple[Rule, ...] = ()
    random_fully: bool = True

    def rules(self, purpose: Purpose) -> tuple[Rule, ...]:
        """Return the rules of one chain, in order."""
        return self.masquerade if purpose is Purpose.MASQUERADE else self.forward


@dataclass(frozen=True, slots=True)
class RuleChanges:
    """The changes to make: `text` as input for the program, and `what` they change, for people."""

    text: str = ""
    what: tuple[str, ...] = ()


def wanted(
    family: Family, overlays: Sequence[Overlay], *, ip_masq: bool, random_fully: bool, forward_rules: bool
) -> Wanted:
    """Build the rules for these overlays, all of this address family."""
    return Wanted(
        family,
        tuple(_masquerade(family, overlays)) if ip_masq and overlays else (),
        tuple(_forward(overlays)) if forward_rules else (),
        random_fully,
    )


def _masquerade(family: Family, overlays: Sequence[Overlay]) -> Iterator[Rule]:
    # Masquerading twice, by kube-proxy and by us, corrupts packets on some kernels.
    yield Rule(Verdict.RETURN, marked=True)
    for overlay in overlays:
        everywhere, outside = Side(overlay.network), Side(overlay.network, inside=False)
        here = Side(overlay.subnet)
        # Pods see each other's real addresses.
        yield Rule(Verdict.RETURN, here, everywhere)
        yield Rule(Verdict.RETURN, everywhere, here)
        # Our pods also see the address of a client outside. flannel's nftables rule has the two networks the
        # other way round: it exempts everything addressed to the overlay from the last rule.
        yield Rule(Verdict.RETURN, outside, here)
        yield Rule(Verdict.MASQUERADE, everywhere, Side(_MULTICAST[family], inside=False))
        # From this machine with an address outside the overlay: pods elsewhere have no route back to that.
        yield Rule(Verdict.MASQUERADE, outside, everywhere)


def _forward(overlays: Sequence[Overlay]) -> Iterator[Rule]:
    for overlay in overlays:
        yield Rule(Verdict.ACCEPT, source=Side(overlay.network))
        yield Rule(Verdict.ACCEPT, destination=Side(overlay.network))
