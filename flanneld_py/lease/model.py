"""A lease: which node holds a subnet. Its JSON value, and what changed between two sets.

Formats are flannel's: pkg/lease/lease.go and subnet/subnet.go of v0.20.2, whose values v0.5.5 reads too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias, TypeVar

from flanneld_py.subnet import Addresses, Subnet

__all__ = ["Lease", "LeaseAttrs", "PeerAdded", "PeerEvent", "PeerRemoved", "StoredLease"]
__all__ += ["agree", "cut", "decode", "diff", "encode", "encode_v2", "news"]


@dataclass(frozen=True, slots=True)
class LeaseAttrs:
    """What a node says about itself in its lease.

    `backend_type` is empty for udp and alloc; `backend_data` and `backend_v6_data` are the JSON values that
    the backend put there for each family.
    """

    public: Addresses
    backend_type: str = ""
    backend_data: object | None = None
    backend_v6_data: object | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """`subnet` belongs to the node that `attrs` describes.

    `announced` is what that node announces beside it (see `registry.announcements`); often nothing.
    """

    subnet: Subnet
    attrs: LeaseAttrs
    announced: bytes = b""


@dataclass(frozen=True, slots=True)
class StoredLease:
    """A lease as a registry has it.

    `revision` is the registry's revision of its last change. `name` is the last part of its key where that
    is not `key(lease.subnet)` (an unaligned one): such a lease takes its range, but is never ours to renew.
    A `permanent` lease does not expire: flannel's reservation. `created` is the revision at which its key was
    created, 0 if unknown.
    """

    lease: Lease
    revision: int
    name: str = ""
    permanent: bool = False
    created: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class PeerAdded:
    """A lease is new, or its attributes are; `again`: only the announcement beside it is."""

    lease: Lease
    again: bool = False


@dataclass(frozen=True, slots=True)
class PeerRemoved:
    """A lease is gone; `lease` is what was known about it."""

    lease: Lease


PeerEvent: TypeAlias = PeerAdded | PeerRemoved


_NO_IPV4: Final = str(IPv4Address(0))  # flannel's value for no IPv4 address

# Go's encoding/json escapes these in strings, so that JSON can be embedded in HTML.
_GO_ESCAPES: Final = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def encode(attrs: LeaseAttrs) -> bytes:
    """The value, byte for byte as flannel >= 0.20.2 writes it."""
    public = attrs.public
    value: dict[str, object] = {
        "PublicIP": str(public.ipv4 or _NO_IPV4),
        "PublicIPv6": None if public.ipv6 is None else str(public.ipv6),
    }
    return _json(value | _backend(attrs))


def encode_v2(attrs: LeaseAttrs) -> bytes:
    """The value, byte for byte as flannel v0.5.5 writes it: without IPv6, and vxlan's without the VNI."""
    data = attrs.backend_data
    if attrs.backend_type == "vxlan" and isinstance(data, dict):
        data = {name: item for name, item in data.items() if name != "VNI"}
    ipv4_only = replace(attrs, backend_data=data, backend_v6_data=None)
    return _json({"PublicIP": str(attrs.public.ipv4)} | _backend(ipv4_only))


def _backend(attrs: LeaseAttrs) -> dict[str, object]:
    fields = {
        "BackendType": attrs.backend_type or None,
        "BackendData": attrs.backend_data,
        "BackendV6Data": attrs.backend_v6_data,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _json(value: dict[str, object]) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.translate(_GO_ESCAPES).encode()


def decode(data: bytes) -> LeaseAttrs:
    """Any flannel's value, of any backend; ValueError says what is wrong with it.

    As in Go's JSON the case of keys does not matter, unknown keys are ignored and null means absent. PublicIP
    or PublicIPv6 is required, because a lease without either is of no use.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("not a lease: JSON nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not a lease: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"not a lease: expected a JSON object, got {data[:60]!r}")
    if _is_deeper(value, _DEEPEST):
        raise ValueError("not a lease: JSON nested too deeply")
    fields = {name.lower(): field for name, field in value.items() if field is not None}
    backend_type = fields.get("backendtype", "")
    if not isinstance(backend_type, str):
        raise ValueError(f"not a lease: BackendType is {cut(backend_type)}, not a string")
    if len(backend_type) > _LONGEST_TYPE:
        raise ValueError(f"not a lease: BackendType is {cut(backend_type)}, not a backend's name")
    return LeaseAttrs(_public(fields), backend_type, fields.get("backenddata"), fields.get("backendv6data"))


def agree(read: LeaseAttrs, ours: LeaseAttrs) -> bool:
    """Whether a value that was read means what we would write, through either API.

    etcd v2's, which lacks the VNI, counts in etcd v3, too: peers do without it. A value without an IPv6
    address that we have does not.
    """
    if read in (ours, decode(encode(ours))):
        return True
    return ours.public.ipv6 is None and read == decode(encode_v2(ours))


def _public(fields: Mapping[str, object]) -> Addresses:
    ipv6 = _address(fields, "PublicIPv6", IPv6Address)
    # The unspecified address is how flannel writes none.
    if ipv6 is not None and ipv6.is_unspecified:
        ipv6 = None
    if ipv6 is not None and fields.get("publicip") in (None, _NO_IPV4):
        return Addresses(None, ipv6)
    ipv4 = _address(fields, "PublicIP", IPv4Address)
    if ipv4 is None:
        raise ValueError("not a lease: it has no PublicIP")
    if ipv4.is_unspecified:
        raise ValueError("not a lease: PublicIP is 0.0.0.0, not a host's address")
    return Addresses(ipv4, ipv6)


A = TypeVar("A", IPv4Address, IPv6Address)


def _address(fields: Mapping[str, object], name: str, kind: type[A]) -> A | None:
    value = fields.get(name.lower())
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"not a lease: {name} is {cut(value)}, not a string")
    try:
        return kind(value)
    except ValueError:
        family = "IPv4" if kind is IPv4Address else "IPv6"
        raise ValueError(f"not a lease: {name} is {cut(value)}, not an {family} address") from None


# It appears in messages.
_LONGEST_TYPE: Final = 64


# Python may be unable to compare later, deeper in the stack, what it can read; flannel's data is flat.
_DEEPEST: Final = 32


def _is_deeper(value: object, levels: int) -> bool:
    """Whether JSON data is nested deeper than that many levels; without recursion."""
    layer: list[object] = [value]
    for _ in range(levels):
        if not layer:
            return False
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(item, dict | list) for item in layer)


def cut(value: object) -> str:
    """A value for a message; etcd stores up to 1.5 MiB."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def diff(known: Mapping[Subnet, Lease], snapshot: Mapping[Subnet, Lease]) -> tuple[PeerEvent, ...]:
    """What happened between `known` and `snapshot`, ordered by subnet, removals first.

    Removals come first because a node that changes the length of its subnet frees the range that it then
    takes again. A changed attribute is a PeerAdded, as the subnet is still leased.
    """
    removed = [PeerRemoved(known[subnet]) for subnet in sorted(known.keys() - snapshot.keys())]
    changed = sorted(subnet for subnet, lease in snapshot.items() if known.get(subnet) != lease)
    return (*removed, *(news(known.get(subnet), snapshot[subnet]) for subnet in changed))


def news(before: Lease | None, after: Lease) -> PeerAdded:
    """What happened to a lease that has changed, or is new."""
    again = before is not None and replace(before, announced=after.announced) == after
    return PeerAdded(after, again)
