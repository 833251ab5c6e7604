"""The JSON of flannel's client/server protocol, as v0.5.5 has it (its remote/ and subnet/subnet.go).

Five members are new, and v0.5.5 ignores them: a lease's `Asof`, the registry's revision of its last change
(later flannels' name for it), and `Created`, that of its first; its `IPv6Subnet`; `PreviousSubnet` in a
request for a lease; and `epoch` of a list, which its client gives back. A time in year 1 is Go's for "none":
a lease that does not expire.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flanneld_py.lease.model import Lease, LeaseAttrs, StoredLease, decode, encode
from flanneld_py.registry import LeaseEvent
from flanneld_py.subnet import Subnet, key, parse_key

__all__ = ["LOST", "NEVER", "NOT_FOUND", "ONLY", "OUT_OF_SUBNETS", "WatchResult", "asof", "attrs_of"]
__all__ += ["cursor_of", "dump", "lease_members", "lease_of", "lower", "read", "subnet_of", "subnets"]

ONLY: Final = "_"
"""The name of the only network in a path, without -networks."""

NEVER: Final = "0001-01-01T00:00:00Z"

# How the texts of errors begin that a client can act on.
NOT_FOUND: Final = "100: Key not found"  # etcd v2's own text, which v0.5.5 passes on
OUT_OF_SUBNETS: Final = "out of subnets"
LOST: Final = "the lease is lost"


@dataclass(frozen=True, slots=True)
class WatchResult:
    """An answer to a list or a watch: all leases, or what happened, up to a cursor.

    `snapshot` is None if `events` continue what the client knows. A different `epoch` means that the registry
    was restored to an older state in the meantime, and earlier cursors are void; empty if the server has
    none.
    """

    cursor: int
    snapshot: tuple[StoredLease, ...] | None = None
    events: tuple[LeaseEvent, ...] = ()
    epoch: str = ""


def dump(value: object) -> bytes:
    """JSON as Go's json.Encoder writes it, with a newline; ValueError for what has no JSON (1e999)."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def read(body: bytes) -> dict[str, object]:
    """An object's members by lower-cased name; null means absent. ValueError says what is wrong."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {body[:60]!r}")
    return lower(value)


def lower(value: object) -> dict[str, object]:
    """The members of any JSON value, as `read` has them; none if it is not an object."""
    if not isinstance(value, dict):
        return {}
    return {name.lower(): item for name, item in value.items() if item is not None}


def subnets(name: str) -> dict[str, object]:
    """The members for the last part of a lease's key: `10.2.35.0-24` is `10.2.35.0/24`."""
    ipv4, _, ipv6 = name.partition("&")
    members: dict[str, object] = {"Subnet": "/".join(ipv4.rsplit("-", 1))}
    if ipv6:
        members["IPv6Subnet"] = "/".join(ipv6.rsplit("-", 1))
    return members


def subnet_of(members: Mapping[str, object]) -> tuple[Subnet, str]:
    """The subnet, and the last part of its key if that is not `key(subnet)`. ValueError without a subnet."""
    texts = [members[name] for name in ("subnet", "ipv6subnet") if name in members]
    name = "&".join(str(text).replace("/", "-") for text in texts)
    subnet = parse_key(name)
    if subnet is None:
        raise ValueError(f"{name[:60]!r} is not a subnet")
    return subnet, "" if name == key(subnet) else name


def lease_members(held: StoredLease, expiration: str) -> dict[str, object]:
    """A lease. Raises ValueError for attributes that JSON cannot express."""
    attrs = json.loads(encode(held.lease.attrs))
    return {
        **subnets(held.name or key(held.lease.subnet)),
        "Attrs": {name: value for name, value in attrs.items() if value is not None},
        "Expiration": expiration,
        "Asof": held.revision,
        **({"Created": held.created} if held.created else {}),
    }


def lease_of(members: Mapping[str, object]) -> StoredLease:
    """The reverse; the revision is 0 if none is given. ValueError says what is wrong."""
    subnet, name = subnet_of(members)
    try:
        attrs = attrs_of(json.dumps(members.get("attrs")).encode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    permanent = members.get("expiration") == NEVER
    return StoredLease(Lease(subnet, attrs), asof(members), name, permanent, asof(members, "created"))


def attrs_of(body: bytes) -> LeaseAttrs:
    """A node's description of itself; ValueError for one that no registry could keep."""
    attrs = decode(body)
    encode(attrs)  # some numbers and texts can be read from JSON but not written
    return attrs


def asof(members: Mapping[str, object], name: str = "asof") -> int:
    """A lease's revision; 0 if none is given."""
    value = members.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def cursor_of(text: object) -> int:
    """A client's cursor; ValueError for one that no server gave it."""
    if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    raise ValueError(f"{str(text)[:60]!r} is not a cursor")
