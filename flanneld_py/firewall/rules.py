"""What the packet filter must hold for an overlay, whichever program puts it there.

The rules are those of flannel 0.28 (pkg/trafficmngr); FLANNEL-POSTRTG and FLANNEL-FWD are its chains.
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
"""What kube-proxy marks packets with that it masquerades itself."""

_MULTICAST: Final[dict[Family, Network]] = {4: IPv4Network("224.0.0.0/4"), 6: IPv6Network("ff00::/8")}


@dataclass(frozen=True, slots=True)
class Overlay:
    """The network of all machines, and this one's subnet of it; both of one family."""

    network: Network
    subnet: Network


class Purpose(Enum):
    """What a chain is for. The values are flannel's comments on its rules."""

    MASQUERADE = "flanneld masq"
    FORWARD = "flanneld forward"


class Verdict(Enum):
    """What becomes of a packet; RETURN leaves it to the rules that follow ours."""

    ACCEPT = "accept"
    RETURN = "return"
    MASQUERADE = "masquerade"


@dataclass(frozen=True, slots=True)
class Side:
    """Where a packet comes from or goes to: inside the network, or outside it."""

    network: Network
    inside: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done with the packets that are like this; `marked` are those with kube-proxy's mark."""

    verdict: Verdict
    source: Side | None = None
    destination: Side | None = None
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that the filter must hold in one family. A purpose without rules has no chain.

    `random_fully`: masquerading picks source ports at random (`--random-fully` of iptables).
    """

    family: Family
    masquerade: tuple[Rule, ...] = ()
    forward: tuple[Rule, ...] = ()
    random_fully: bool = True

    def rules(self, purpose: Purpose) -> tuple[Rule, ...]:
        """Those of one chain, in their order."""
        return self.masquerade if purpose is Purpose.MASQUERADE else self.forward


@dataclass(frozen=True, slots=True)
class RuleChanges:
    """What has to be done: `text` for the program that does it, and `what` it changes, for people."""

    text: str = ""
    what: tuple[str, ...] = ()


def wanted(
    family: Family, overlays: Sequence[Overlay], *, ip_masq: bool, random_fully: bool, forward_rules: bool
) -> Wanted:
    """The rules for these overlays, all of which are of this family."""
    return Wanted(
        family,
        tuple(_masquerade(family, overlays)) if ip_masq and overlays else (),
        tuple(_forward(overlays)) if forward_rules else (),
        random_fully,
    )


def _masquerade(family: Family, overlays: Sequence[Overlay]) -> Iterator[Rule]:
    # Masquerading twice, by kube-proxy and by us, harms packets in some kernels.
    yield Rule(Verdict.RETURN, marked=True)
    for overlay in overlays:
        everywhere, outside = Side(overlay.network), Side(overlay.network, inside=False)
        here = Side(overlay.subnet)
        # Pods see each other's own addresses.
        yield Rule(Verdict.RETURN, here, everywhere)
        yield Rule(Verdict.RETURN, everywhere, here)
        # So do our own pods see that of a client from outside. flannel's nftables rule has the two networks
        # the other way round: it keeps everything that goes to the overlay from the last rule.
        yield Rule(Verdict.RETURN, outside, here)
        yield Rule(Verdict.MASQUERADE, everywhere, Side(_MULTICAST[family], inside=False))
        # From this machine by another of its addresses: no pod elsewhere knows the way back to that.
        yield Rule(Verdict.MASQUERADE, outside, everywhere)


def _forward(overlays: Sequence[Overlay]) -> Iterator[Rule]:
    for overlay in overlays:
        yield Rule(Verdict.ACCEPT, source=Side(overlay.network))
        yield Rule(Verdict.ACCEPT, destination=Side(overlay.network))
