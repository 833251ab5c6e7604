"""Validation of flannel's network configuration, before nodes are created for it.

It covers only the rules that every flannel has, or today's: docs/configuration.md and `CheckNetworkConfig` in
flannel. A backend's own keys are left to flannel.
"""

import json
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.backends import BACKENDS
from lab.validation import short, similar

__all__ = ["config_problems", "config_text", "lower", "network_of"]

USUAL = 24
LONGEST = 30
"""Maximum SubnetLen: a /31 has no room for a bridge and a pod."""
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


def network_of(config: str) -> IPv4Network:
    """Return the overlay network of a valid configuration."""
    return IPv4Network(lower(json.loads(config))["network"], strict=False)


def config_problems(config: str, *, ours: bool = True) -> Iterator[str]:
    """Yield a line `KEY: what is wrong` for each problem of a JSON object.

    `ours`: a minion runs flanneld_py. Otherwise an old flannel may be meant, which requires room for only one
    subnet, or one with other backends.
    """
    fields = {key: value for key, value in lower(json.loads(config)).items() if value is not None}
    network = _network(fields.get("network", ""))
    if isinstance(network, str):
        yield f"Network: {network}"
    yield from _subnets(fields, network if isinstance(network, IPv4Network) else None, ours)
    yield from _backend(fields.get("backend"), ours)


def _network(value: object) -> IPv4Network | str:
    """Return the network, or the problem with it."""
    if value == "":
        return "required, such as 10.2.0.0/16"
    if isinstance(value, str) and "/" in value:
        try:
            return IPv4Network(value, strict=False)
        except ValueError:
            pass
    return f"expected an IPv4 network such as 10.2.0.0/16; got {short(value)}"


def _subnets(fields: Mapping[str, object], network: IPv4Network | None, ours: bool) -> Iterator[str]:
    length = fields.get("subnetlen", 0)
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        yield f"SubnetLen: expected a prefix length such as {USUAL}; got {short(length)}"
        length = None
    elif length > LONGEST:
        yield f"SubnetLen: expected at most {LONGEST}, so that a subnet has room for pods; got {length}"
        length = None
    if network is not None and length is not None:
        least = network.prefixlen + (SPARE if ours else 0)
        if least > LONGEST:
            yield f"Network: {network} is too small for four subnets: expected at most /{LONGEST - SPARE}"
            return
        if 0 < length < least:
            room = f"room for {'four subnets' if ours else 'one subnet'} in {network}"
            yield f"SubnetLen: expected {least} to {LONGEST}, with {room}; got {length}"
            length = None
    bounds = {key: _bound(fields.get(key.lower())) for key in ("SubnetMin", "SubnetMax")}
    for key, bound in bounds.items():
        if isinstance(bound, str):
            yield f"{key}: {bound}"
        elif bound is not None and network is not None:
            if bound not in network:
                yield f"{key}: {bound} is not in the Network {network}"
            elif length is not None and ours:
                size = 2 ** (32 - (length or max(USUAL, network.prefixlen + SPARE)))
                if int(bound) % size:
                    yield f"{key}: {bound} is not the first address of a subnet"
    lowest, highest = bounds.values()
    if isinstance(lowest, IPv4Address) and isinstance(highest, IPv4Address) and lowest > highest:
        yield f"SubnetMin: {lowest} is above SubnetMax, {highest}"


def _bound(value: object) -> IPv4Address | str | None:
    """Return a limit, None if there is none, or the problem with it."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return IPv4Address(value)
    except ValueError:
        pass
    return f"expected a subnet's first address such as 10.2.1.0; got {short(value)}"


def _backend(value: object, ours: bool) -> Iterator[str]:
    if value is None:
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
