"""Requests to a server, and its answers, in flannel's protocol, as values (v0.5.5's remote/server.go).

GET  /v1/NETWORK/config               the network's configuration
GET  /v1/NETWORK/leases               all leases, and a cursor
GET  /v1/NETWORK/leases?next=CURSOR   what happened since, as soon as something did; ours give &epoch=
POST /v1/NETWORK/leases               a lease for a node that describes itself
PUT  /v1/NETWORK/leases/SUBNET        a lease, renewed
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import parse_qs, unquote

from flanneld_py.backend.catalog import parse_config
from flanneld_py.config.reader import ConfigError, Problem
from flanneld_py.lease.model import LeaseAttrs, StoredLease
from flanneld_py.registry import LeaseAdded, LeaseEvent
from flanneld_py.registry.remote import protocol
from flanneld_py.subnet import Subnet, key, parse_key

__all__ = [
    "LONGEST_BODY",
    "AcquireRequest",
    "ConfigRequest",
    "ListRequest",
    "RenewRequest",
    "Request",
    "RequestRefused",
    "Response",
    "WatchRequest",
]
__all__ += ["config_text", "json_answer", "lease_text", "read_request", "watch_text"]

LONGEST_BODY: Final = 1 << 20
"""Bytes that a request may have: more than etcd stores under a key."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response."""

    status: int
    kind: str
    body: bytes


class RequestRefused(Exception):
    """A request that gets an error: its HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.answer = Response(status, "text/plain; charset=utf-8", text.encode(errors="backslashreplace"))


def json_answer(body: bytes) -> Response:
    """A successful response."""
    return Response(200, "application/json; charset=utf-8", body)


@dataclass(frozen=True, slots=True)
class ConfigRequest:
    """A request for the configuration. In each request `network` is empty for the only one."""

    network: str


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for all leases."""

    network: str


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """A request for what happened after a cursor. `epoch` is the list's, if the client gives it."""

    network: str
    cursor: int
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class AcquireRequest:
    """A request for a lease. `previous` is the subnet that the node had."""

    network: str
    attrs: LeaseAttrs
    previous: Subnet | None


@dataclass(frozen=True, slots=True)
class RenewRequest:
    """A request to renew a lease, with these attributes."""

    network: str
    subnet: Subnet
    attrs: LeaseAttrs


Request: TypeAlias = ConfigRequest | ListRequest | WatchRequest | AcquireRequest | RenewRequest


def read_request(method: str, target: str, body: bytes) -> Request:
    """The request. Raises `RequestRefused`: 404 for an unknown path, 400 for bad JSON."""
    path, _, query = target.partition("?")
    version, *words = path.removeprefix("/").split("/")
    if words and words[-1] == "":  # v0.5.5's client means `.../leases/`, and this is what it would get
        words.pop()
    match method, version, [unquote(word, errors="replace") for word in words]:
        case "GET", "v1", [name, "config"]:
            return ConfigRequest(_network(name))
        case "GET", "v1", [name, "leases"]:
            return _list_or_watch(_network(name), query)
        case "POST", "v1", [name, "leases"]:
            return _acquire(_network(name), body)
        case "PUT", "v1", [name, "leases", subnet]:
            return _renew(_network(name), subnet, body)
    raise RequestRefused(404, "404 page not found\n")


def _network(name: str) -> str:
    if name == protocol.ONLY:
        return ""
    # It becomes part of a key.
    if name in ("", ".", "..") or "/" in name or not name.isprintable() or len(name) > 255:
        raise RequestRefused(404, "404 page not found\n")
    return name


def _list_or_watch(network: str, query: str) -> ListRequest | WatchRequest:
    try:
        given = parse_qs(query, keep_blank_values=True, max_num_fields=10)
        if "next" not in given:
            return ListRequest(network)
        return WatchRequest(network, protocol.cursor_of(given["next"][0]), given.get("epoch", [""])[0])
    except ValueError as error:
        raise RequestRefused(500, f"failed to parse cursor: {error}") from None


def _acquire(network: str, body: bytes) -> AcquireRequest:
    try:
        attrs = protocol.attrs_of(body)
        name = protocol.read(body).get("previoussubnet")
    except ValueError as error:
        raise _not_json(error) from None
    return AcquireRequest(network, attrs, None if name is None else parse_key(str(name)))


def _renew(network: str, name: str, body: bytes) -> RenewRequest:
    try:
        held = protocol.lease_of(protocol.read(body))
    except ValueError as error:
        raise _not_json(error) from None
    if name != key(held.lease.subnet) or held.name:
        raise RequestRefused(400, f"the path names the lease {name[:60]}, and the body {held.lease.subnet}")
    return RenewRequest(network, held.lease.subnet, held.lease.attrs)


def _not_json(error: ValueError) -> RequestRefused:
    return RequestRefused(400, f"JSON decoding error: {error}")


# Answers

_SHARED: Final = frozenset({"network", "subnetmin", "subnetmax", "subnetlen", "backend"})


def config_text(text: bytes) -> bytes:
    """The network's configuration, with its omitted defaults filled in. Raises ConfigError.

    v0.5.5's five members come first, then the rest as it was written.
    """
    parsed = parse_config(text)
    given: dict[str, object] = json.loads(text)
    members: dict[str, object] = {}
    if parsed.ipv4 is not None:
        members["Network"] = str(parsed.ipv4.network)
        members["SubnetMin"] = str(parsed.ipv4.subnet_min.network_address)
        members["SubnetMax"] = str(parsed.ipv4.subnet_max.network_address)
        members["SubnetLen"] = parsed.ipv4.subnet_len
    for name, value in given.items():
        if name.lower() == "backend" and value is not None:
            members["Backend"] = value
    rest = {name: value for name, value in given.items() if name.lower() not in _SHARED and value is not None}
    try:
        return protocol.dump(members | rest)
    except (ValueError, RecursionError) as error:
        fix = "use smaller numbers and less nesting"
        raise ConfigError((Problem("", f"the configuration cannot be passed on ({error})", fix),)) from None


def lease_text(held: StoredLease, expires: datetime) -> bytes:
    """A lease that was acquired or renewed.

    Even one that does not expire gets a time: v0.5.5 would renew it over and over without a pause.
    """
    return protocol.dump(protocol.lease_members(held, _time(expires)))


def watch_text(result: protocol.WatchResult, expires: datetime) -> bytes:
    """Leases and events; `expires` is when a lease written now would end: none of them lives longer."""

    def lease(held: StoredLease) -> dict[str, object] | None:
        try:
            return protocol.lease_members(held, protocol.NEVER if held.permanent else _time(expires))
        except ValueError:  # no client could read it: as if it did not exist
            return None

    def event(item: LeaseEvent) -> dict[str, object]:
        if isinstance(item, LeaseAdded):
            subnet, revision, name = item.held.lease.subnet, item.held.revision, item.held.name
            if (added := lease(item.held)) is not None:
                return {"type": "added", "lease": added}
        else:
            subnet, revision, name = item.subnet, item.revision, item.name
        gone = {"Attrs": None, "Expiration": protocol.NEVER, "Asof": revision}
        return {"type": "removed", "lease": {**protocol.subnets(name or key(subnet)), **gone}}

    snapshot = None
    if result.snapshot is not None:
        snapshot = [members for held in result.snapshot if (members := lease(held)) is not None]
    events = [event(item) for item in result.events]
    members = {"events": events or None, "snapshot": snapshot, "cursor": str(result.cursor)}
    return protocol.dump(members | ({"epoch": result.epoch} if result.epoch else {}))


def _time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
