"""Validation of flannel's network configuration, before nodes are created for it.

It covers only the rules that every flannel has, or today's: docs/configuration.md and `CheckNetworkConfig` in
flannel. A backend's own keys are left to flannel.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from lab.backends import BACKENDS
from lab.suggest import similar
from lab.validation import short

__all__ = ["config_problems", "config_text", "lower", "networks_of"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class _Kind:
    """What there is to know of one family of addresses."""

    network: type[IPv4Network] | type[IPv6Network]
    address: type[IPv4Address] | type[IPv6Address]
    prefix: str
    """Of its keys: `IPv6` in IPv6SubnetLen."""
    words: str
    usual: int
    """Length of a subnet where none is said."""
    longest: int
    """Maximum length of a subnet: a longer one has no room for a bridge and a pod."""
    example: str
    first: str
    """A subnet's first address, for example."""

    def key(self, name: str) -> str:
        """A key's name, such as IPv6SubnetLen."""
        return f"{self.prefix}{name}"


KINDS: Mapping[int, _Kind] = {
    4: _Kind(IPv4Network, IPv4Address, "", "IPv4", 24, 30, "10.2.0.0/16", "10.2.1.0"),
    6: _Kind(IPv6Network, IPv6Address, "IPv6", "IPv6", 64, 126, "2001:cafe:42::/56", "2001:cafe:42:1::"),
}

SPARE = 2
"""Room for four subnets, in bits."""


def config_text(value: object) -> str:
    """Return the configuration as stored in etcd: text unchanged, a mapping as JSON. Raises `ValueError`."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected flannel's JSON object; got {short(value)}: {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"expected flannel's JSON object; got {short(value)}, which JSON cannot express"
        ) from error
    if not isinstance(document, dict):
        raise ValueError(
            f'expected flannel\'s JSON object, such as {{"Network": "10.2.0.0/16"}}; got {short(value)}'
        )
    return text


def lower(document: Mapping[str, Any]) -> dict[str, Any]:
    """Convert keys to lower case: Go's JSON decoder, which flannel uses, ignores case."""
    return {key.lower(): value for key, value in document.items()}


@lru_cache(maxsize=64)  # the checks ask for those of one lab thousands of times
def networks_of(config: str) -> tuple[IPv4Network | None, IPv6Network | None]:
    """Return the overlay networks of a valid configuration: None for a family that is not enabled."""
    fields = _fields(config)
    four, six = (
        kind.network(fields[kind.key("Network").lower()], strict=False)
        if family in _enabled(fields)
        else None
        for family, kind in KINDS.items()
    )
    return four, six  # type: ignore[return-value]  # each kind's own


def _fields(config: str) -> dict[str, Any]:
    """Keys in lower case, without those that are null."""
    return {key: value for key, value in lower(json.loads(config)).items() if value is not None}


def _enabled(fields: Mapping[str, Any]) -> tuple[int, ...]:
    """The families that are enabled: IPv4, unless the configuration says something else."""
    return tuple(family for family in KINDS if fields.get(f"enableipv{family}", family == 4) is True)


def config_problems(config: str, *, ours: bool = True) -> Iterator[str]:
    """Yield a line `KEY: what is wrong` for each problem of a JSON object.

    `ours`: a minion runs flanneld_py. Otherwise an old flannel may be meant, which requires room for only one
    subnet, or one with other backends.
    """
    fields = _fields(config)
    for key in ("EnableIPv4", "EnableIPv6"):
        if not isinstance(fields.get(key.lower(), True), bool):
            yield f"{key}: expected true or false; got {short(fields[key.lower()])}"
            return
    if not _enabled(fields):
        yield "EnableIPv4: expected true, or EnableIPv6: there is no family of addresses"
    for family in _enabled(fields):
        yield from _family(fields, KINDS[family], ours)
    yield from _backend(fields.get("backend"), ours, _enabled(fields))


def _family(fields: Mapping[str, Any], kind: _Kind, ours: bool) -> Iterator[str]:
    """Yield what is wrong with the keys of one family."""
    network = _network(fields.get(kind.key("Network").lower(), ""), kind)
    if isinstance(network, str):
        yield f"{kind.key('Network')}: {network}"
    yield from _subnets(fields, None if isinstance(network, str) else network, kind, ours)


def _network(value: object, kind: _Kind) -> Network | str:
    """Return the network, or the problem with it."""
    if value == "":
        return f"required, such as {kind.example}"
    if isinstance(value, str) and "/" in value:
        try:
            return kind.network(value, strict=False)
        except ValueError:
            pass
    return f"expected an {kind.words} network such as {kind.example}; got {short(value)}"


def _subnets(fields: Mapping[str, Any], network: Network | None, kind: _Kind, ours: bool) -> Iterator[str]:
    key, longest = kind.key("SubnetLen"), kind.longest
    length = fields.get(key.lower(), 0)
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        yield f"{key}: expected a prefix length such as {kind.usual}; got {short(length)}"
        length = None
    elif length > longest:
        yield f"{key}: expected at most {longest}, so that a subnet has room for pods; got {length}"
        length = None
    if network is not None and length is not None:
        least = network.prefixlen + (SPARE if ours else 0)
        if least > longest:
            yield (
                f"{kind.key('Network')}: {network} is too small for four subnets: expected at most "
                f"/{longest - SPARE}"
            )
            return
        if 0 < length < least:
            room = f"room for {'four subnets' if ours else 'one subnet'} in {network}"
            yield f"{key}: expected {least} to {longest}, with {room}; got {length}"
            length = None
    bounds = {
        name: _bound(fields.get(name.lower()), kind)
        for name in (kind.key("SubnetMin"), kind.key("SubnetMax"))
    }
    for name, bound in bounds.items():
        if isinstance(bound, str):
            yield f"{name}: {bound}"
        elif bound is not None and network is not None:
            if bound not in network:
                yield f"{name}: {bound} is not in the {kind.key('Network')} {network}"
            elif length is not None and ours:
                size = 2 ** (network.max_prefixlen - (length or max(kind.usual, network.prefixlen + SPARE)))
                if int(bound) % size:
                    yield f"{name}: {bound} is not the first address of a subnet"
    lowest, highest = (None if isinstance(bound, str) else bound for bound in bounds.values())
    if lowest is not None and highest is not None and int(lowest) > int(highest):
        yield f"{kind.key('SubnetMin')}: {lowest} is above {kind.key('SubnetMax')}, {highest}"


def _bound(value: object, kind: _Kind) -> Address | str | None:
    """Return a limit, None if there is none, or the problem with it."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return kind.address(value)
    except ValueError:
        pass
    return f"expected a subnet's first address such as {kind.first}; got {short(value)}"


def _backend(value: object, ours: bool, families: Collection[int]) -> Iterator[str]:
    if value is None:
        if 6 in families:
            yield f"Backend.Type: required with EnableIPv6: {_carriers()}; without one it is udp"
        return
    if not isinstance(value, Mapping):
        yield f'Backend: expected an object such as {{"Type": "udp"}}; got {short(value)}'
        return
    kind = lower(value).get("type")
    if not isinstance(kind, str) or not kind:
        yield f"Backend.Type: expected one of {', '.join(BACKENDS)}; got {short(kind)}"
    elif ours and kind.lower() not in BACKENDS:
        known = ", ".join(BACKENDS)
        yield f"Backend.Type: flanneld_py has no backend {kind}{similar(kind, BACKENDS)}; it has {known}"
    elif 6 in families and kind.lower() in BACKENDS and not BACKENDS[kind.lower()].ipv6:
        yield f"Backend.Type: {kind} carries IPv4 alone; with EnableIPv6 expected {_carriers()}"


def _carriers() -> str:
    """The backends that carry IPv6."""
    return ", ".join(name for name, found in BACKENDS.items() if found.ipv6)
