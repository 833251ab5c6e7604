"""What is done to packets, and to which of them: the words of tc-netem(8), read, checked and written. Pure.

The node reads them as well, so this needs Python's library alone.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from lab.errors import Unfit
from lab.faults.impairment.units import probability, probability_text, rate, rate_text, seconds, seconds_text
from lab.suggest import similar

__all__ = ["PROTOCOLS", "Direction", "Impairment", "Match", "Rule", "parse_impairment", "parse_match"]

CUT = "cut"

LONGEST = 60.0
"""Seconds of delay: packets wait in the node's memory."""

SLOWEST = 8_000
"""Bits a second: a full packet takes a second and a half."""

PROTOCOLS = {"icmp": (1, 58), "ipip": (4, 4), "tcp": (6, 6), "udp": (17, 17)}
"""IANA's numbers, in IPv4 and as the next header of IPv6. `icmp` is ICMPv6 there."""

WITH_PORTS = ("tcp", "udp")

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Direction(StrEnum):
    """Seen from the node."""

    OUT = "out"
    IN = "in"
    BOTH = "both"


def _time(default: float = 0.0) -> Any:
    return field(default=default, metadata={"read": seconds, "write": seconds_text})


def _share(default: float = 0.0) -> Any:
    return field(default=default, metadata={"read": probability, "write": probability_text})


@dataclass(frozen=True, slots=True)
class Impairment:
    """What becomes of each packet that matches. Zero, and False, is: nothing.

    Times are in seconds, probabilities from 0 to 1. Raises `Unfit` where the parts do not go together.
    """

    delay: float = _time()
    jitter: float = _time()
    """A packet takes `delay` plus or minus as much, evenly distributed: packets overtake each other."""
    loss: float = _share()
    duplicate: float = _share()
    """The probability that a packet arrives twice."""
    reorder: float = _share()
    """The probability that a packet is not delayed, and so overtakes those that are."""
    corrupt: float = _share()
    """The probability that one bit is another one, behind the Ethernet header; by sch_netem, anywhere."""
    rate: int = field(default=0, metadata={"read": rate, "write": rate_text})
    """Bits a second, of frames with their Ethernet headers."""
    cut: bool = False
    """Nothing passes."""

    def __post_init__(self) -> None:
        if wrong := self._wrong():
            what, hint = wrong
            raise Unfit(f"{self}: {what}", hint=hint)

    def _wrong(self) -> tuple[str, str] | None:
        given = [item.name for item in fields(self) if getattr(self, item.name)]
        if not given:
            return "it does nothing", "name at least one of delay, loss, duplicate, corrupt, rate and cut"
        if self.cut and len(given) > 1:
            return "what is cut cannot be impaired as well", "leave out cut, or the rest"
        if max(self.delay, self.jitter) > LONGEST:
            return "a delay that long needs too much memory", f"delay at most {LONGEST:.0f}s"
        if self.jitter > self.delay:
            return "a packet cannot arrive before it was sent", "give a delay of at least the jitter"
        if self.reorder and not self.delay:
            return "there is nothing to overtake", "give a delay: what is reordered overtakes what is delayed"
        if 0 < self.rate < SLOWEST:
            return "the rate is too low", f"give at least {rate_text(SLOWEST)}; cut lets nothing pass"
        return None

    @property
    def befalls_single_packets(self) -> bool:
        """Whether chance is to meet each packet of a wire, not the super-packet that it may still be in."""
        return bool(self.loss or self.duplicate or self.reorder or self.corrupt)

    def without_rate(self) -> "Impairment | None":
        """What else it is; None if it is nothing else."""
        rest = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "rate"}
        return Impairment(**rest) if any(rest.values()) else None

    def __str__(self) -> str:
        """The words that `parse_impairment` reads: `delay 100ms loss 5%`."""
        if self.cut:
            return CUT
        texts = [(item.name, item.metadata, getattr(self, item.name)) for item in fields(self)]
        return " ".join(f"{name} {how['write'](value)}" for name, how, value in texts if value)


def parse_impairment(text: str) -> Impairment:
    """`cut`, or pairs such as `delay 100ms loss 5%`, in any order. Raises `Unfit`."""
    words = text.split()
    if words == [CUT]:
        return Impairment(cut=True)
    readers = {item.name: item.metadata["read"] for item in fields(Impairment) if item.metadata}
    found: dict[str, Any] = {}
    for name, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if name not in readers:
            hint = f"what there is: {', '.join(readers)}, each with a value; or {CUT} alone"
            maybe = similar(name, readers)
            raise Unfit(f"{text!r}: there is no impairment {name!r}{maybe}", hint=hint)
        if name in found:
            raise Unfit(f"{text!r}: {name} is there twice", hint="start a second impairment for the second")
        found[name] = readers[name](value)
    return Impairment(**found)


@dataclass(frozen=True, slots=True)
class Match:
    """Which packets, by their outer headers; empty: all of IPv4 and IPv6. ARP is never among them.

    A port is either end's, and seen only in the first fragment of a datagram, and not behind IPv4 options;
    neither it nor the protocol is seen behind IPv6's extension headers. Where pods' packets cross the
    underlay under their own addresses, as with host-gw, a peer is its node's address and its pods' subnet.
    """

    peers: tuple[IPv4Network | IPv6Network, ...] = ()
    """Whom packets go to, or come from."""
    protocol: str = ""
    port: int = 0
    direction: Direction = Direction.BOTH

    def __post_init__(self) -> None:
        if self.protocol and self.protocol not in PROTOCOLS:
            hint = f"what there is: {', '.join(PROTOCOLS)}"
            raise Unfit(
                f"there is no protocol {self.protocol!r}{similar(self.protocol, PROTOCOLS)}", hint=hint
            )
        if not 0 <= self.port <= 65535:
            raise Unfit(f"{self.port} is no port", hint="write a number from 1 to 65535")
        if self.port and self.protocol not in ("", *WITH_PORTS):
            raise Unfit(f"{self.protocol} has no ports", hint="leave out the port, or name tcp or udp")

    def __str__(self) -> str:
        """`udp port 8285 to 192.168.199.52`, for people."""
        kinds = {Direction.OUT: "to", Direction.IN: "from", Direction.BOTH: "to and from"}
        what = self.protocol or ("tcp and udp" if self.port else "packets")
        port = f" port {self.port}" if self.port else ""
        whom = ", ".join(map(_peer_text, self.peers)) or "everybody"
        return f"{what}{port} {kinds[self.direction]} {whom}"


def parse_match(
    peers: Iterable[str] = (), protocol: str = "", port: int | str = "", direction: str = Direction.BOTH
) -> Match:
    """Read what a person wrote. Raises `Unfit`."""
    number = str(port).strip() or "0"
    if not number.isascii() or not number.isdigit():
        raise Unfit(f"{port!r} is no port", hint="write a number from 1 to 65535")
    if direction not in list(Direction):
        hint = f"what there is: {', '.join(Direction)}"
        raise Unfit(f"{direction!r} is no direction{similar(direction, Direction)}", hint=hint)
    found = tuple(map(_peer, peers))
    return Match(found, protocol.lower(), int(number), Direction(direction))


def _peer(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip())
    except ValueError as error:
        hint = "write an address or a network, such as 192.168.199.52, fd00::52 or 10.2.35.0/24"
        raise Unfit(f"{text!r} is no peer: {error}", hint=hint) from error


def _peer_text(peer: IPv4Network | IPv6Network) -> str:
    return str(peer.network_address) if peer.prefixlen == peer.max_prefixlen else str(peer)


@dataclass(frozen=True, slots=True)
class Rule:
    """An impairment on one of a node's devices, with the name by which it is stopped."""

    identifier: str
    impairment: Impairment
    match: Match = field(default_factory=Match)
    device: str = "eth0"

    def __post_init__(self) -> None:
        if not IDENTIFIER.fullmatch(self.identifier):
            hint = "write 1 to 64 letters, digits, '-', '_' and '.'"
            raise Unfit(f"{self.identifier!r} cannot name an impairment", hint=hint)

    def __str__(self) -> str:
        """For people."""
        return f"{self.impairment}: {self.match}"

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.identifier,
            "impairment": str(self.impairment),
            "peers": [_peer_text(peer) for peer in self.match.peers],
            "protocol": self.match.protocol,
            "port": self.match.port,
            "direction": self.match.direction.value,
            "device": self.device,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Rule":
        """What `as_document` gave. Raises `Unfit`."""
        read = {key: document[key] for key in ("peers", "protocol", "port", "direction")}
        impairment = parse_impairment(document["impairment"])
        return cls(document["id"], impairment, parse_match(**read), document["device"])
