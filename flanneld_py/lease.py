"""A lease: which node holds a subnet. Its etcd key, its JSON value, and what changed between two sets.

Formats are flannel's: pkg/lease/lease.go and subnet/subnet.go of v0.20.2, whose values v0.5.5 reads too.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final, TypeAlias

__all__ = ["Added", "Event", "Lease", "LeaseAttrs", "Removed", "apply", "decode", "diff", "encode"]
__all__ += ["key", "parse_key"]


@dataclass(frozen=True, slots=True)
class LeaseAttrs:
    """What a node says about itself in its lease.

    `backend_type` is empty for udp and alloc; `backend_data` is the JSON value that the backend put there.
    """

    public_ip: IPv4Address
    backend_type: str = ""
    backend_data: object | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """`subnet` belongs to the node that `attrs` describes."""

    subnet: IPv4Network
    attrs: LeaseAttrs


@dataclass(frozen=True, slots=True)
class Added:
    """A lease is new, or its attributes are."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Removed:
    """A lease is gone; `lease` is what was known of it."""

    lease: Lease


Event: TypeAlias = Added | Removed


def key(subnet: IPv4Network) -> str:
    """The last part of a lease's key: `10.2.35.0-24`."""
    return f"{subnet.network_address}-{subnet.prefixlen}"


_KEY: Final = re.compile(
    r"(?P<address>[0-9]{1,3}(?:\.[0-9]{1,3}){3})-(?P<length>[0-9]{1,2})(?:&[0-9a-f:.]+-[0-9]{1,3})?"
)


def parse_key(name: str) -> IPv4Network | None:
    """The subnet that the last part of a key stands for; None for what no flannel would write.

    flannel's dual-stack keys (`10.5.4.0-24&2001:cafe:42:16::-64`) and unaligned ones (`10.1.5.7-24`, by
    v0.5.5 with an unaligned SubnetMin) count as the IPv4 subnet they cover, so `key(parse_key(name))` may
    differ from `name`.
    """
    match = _KEY.fullmatch(name)
    if match is None or match["length"] == "0":
        return None
    try:
        return IPv4Network((match["address"], int(match["length"])), strict=False)
    except ValueError:
        return None


# encoding/json of Go escapes these in strings, so that JSON can stand inside HTML.
_GO_ESCAPES: Final = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def encode(attrs: LeaseAttrs) -> bytes:
    """The value, byte for byte as flannel >= 0.20.2 writes it."""
    value: dict[str, object] = {"PublicIP": str(attrs.public_ip), "PublicIPv6": None}
    if attrs.backend_type:
        value["BackendType"] = attrs.backend_type
    if attrs.backend_data is not None:
        value["BackendData"] = attrs.backend_data
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.translate(_GO_ESCAPES).encode()


def decode(data: bytes) -> LeaseAttrs:
    """Any flannel's value, of any backend; ValueError says what is wrong with it.

    As in Go's JSON the case of keys does not matter, unknown keys are ignored and null means absent. IPv6 is
    ignored; PublicIP is required, because a lease without it leads nowhere.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("not a lease: JSON nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not a lease: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"not a lease: a JSON object is expected, not {data[:60]!r}")
    if _is_deeper(value, _DEEPEST):
        raise ValueError("not a lease: JSON nested too deeply")
    fields = {name.lower(): field for name, field in value.items() if field is not None}
    public_ip = fields.get("publicip")
    backend_type = fields.get("backendtype", "")
    if not isinstance(backend_type, str):
        raise ValueError(f"not a lease: BackendType is {_cut(backend_type)}, not a string")
    if not isinstance(public_ip, str):
        raise ValueError(f"not a lease: PublicIP is {_cut(public_ip)}, not a string")
    try:
        address = IPv4Address(public_ip)
    except ValueError:
        raise ValueError(f"not a lease: PublicIP is {_cut(public_ip)}, not an IPv4 address") from None
    if address.is_unspecified:
        raise ValueError("not a lease: PublicIP is 0.0.0.0, no host's address")
    return LeaseAttrs(address, backend_type, fields.get("backenddata"))


# What Python reads it may not be able to compare later, from a deeper call; flannel's own data is flat.
_DEEPEST: Final = 32


def _is_deeper(value: object, levels: int) -> bool:
    """Whether JSON data is nested deeper than so many levels; without recursion."""
    layer: list[object] = [value]
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(item, dict | list) for item in layer)


def _cut(value: object) -> str:
    """A value for a message; etcd keeps up to 1.5 MiB."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def diff(known: Mapping[IPv4Network, Lease], snapshot: Mapping[IPv4Network, Lease]) -> tuple[Event, ...]:
    """What happened between `known` and `snapshot`, ordered by subnet, removals first.

    Removals come first because a node that changes the length of its subnet frees the range that it takes
    again. A changed attribute is an Added, for the subnet is still leased.
    """
    removed = [Removed(known[subnet]) for subnet in sorted(known.keys() - snapshot.keys())]
    added = [
        Added(lease)
        for subnet, lease in sorted(snapshot.items(), key=_by_subnet)
        if known.get(subnet) != lease
    ]
    return (*removed, *added)


def apply(known: Mapping[IPv4Network, Lease], events: Iterable[Event]) -> dict[IPv4Network, Lease]:
    """What is known after `events`; `known` itself stays as it is."""
    leases = dict(known)
    for event in events:
        if isinstance(event, Added):
            leases[event.lease.subnet] = event.lease
        else:
            leases.pop(event.lease.subnet, None)
    return leases


def _by_subnet(item: tuple[IPv4Network, Lease]) -> IPv4Network:
    return item[0]
