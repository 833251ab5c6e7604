"""The network's configuration, `{prefix}/config` in etcd: JSON -> NetworkConfig, every error naming its key.

Keys are flannel's. As in Go's JSON their case does not matter, unknown ones are ignored, and null means
absent. Where v0.5.5 and today's flannel disagree, the stricter rule holds, so that whatever is accepted
here is accepted by both: SubnetLen is at most 30 and leaves room for four subnets, SubnetMin and SubnetMax
are aligned. Where only their default differs (SubnetLen in a /23 and smaller: v0.5.5 takes half the network
or 24, today's a quarter) it is today's, because etcd v3 is shared with today's flannel; nodes of both kinds
agree once SubnetLen is given.
"""

import json
import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from flanneld_py.config.model import NetworkConfig, Pool, Udp

__all__ = ["BACKENDS", "ConfigError", "NetworkConfig", "changes", "parse"]

BACKENDS: Final = ("udp",)
UDP_PORT: Final = 8285


class ConfigError(ValueError):
    """The configuration cannot be used. The message names the key and says what would be right."""


def parse(text: str | bytes) -> NetworkConfig:
    """Read the configuration; raises ConfigError."""
    fields = _fields(text)
    if _bool(fields, "EnableIPv6", default=False):
        raise ConfigError("EnableIPv6 is not supported by this version: remove it or set it to false")
    if not _bool(fields, "EnableIPv4", default=True):
        raise ConfigError("EnableIPv4 is false, which leaves no network: remove it or set it to true")
    network = _network(fields)
    subnet_len = _subnet_len(fields, network)
    subnet_min, subnet_max = _subnet_range(fields, network, subnet_len)
    _, backend = _backend(fields)
    pool = Pool(network, IPv4Network((subnet_min, subnet_len)), IPv4Network((subnet_max, subnet_len)))
    return NetworkConfig(pool, None, Udp(_udp_port(backend)))


def changes(old: NetworkConfig, new: NetworkConfig) -> tuple[str, ...]:
    """What is different, in words."""
    return () if old == new else (f"{old} -> {new}: takes effect when flanneld restarts",)


def _udp_port(backend: Mapping[str, object]) -> int:
    port = backend.get("port", UDP_PORT)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise ConfigError(
            f"Backend.Port is {_show(port)}: give a number from 1 to 65535, or none for {UDP_PORT}"
        )
    return port


def _fields(text: str | bytes) -> dict[str, object]:
    """The object's members by lower-cased name, in every depth; the last of several wins, as in Go."""

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        return {name.lower(): value for name, value in pairs if value is not None}

    try:
        value = json.loads(text, object_pairs_hook=members, parse_constant=_no_constant)
    except RecursionError:
        raise ConfigError("the configuration is not JSON: nested too deeply") from None
    except ValueError as error:
        raise ConfigError(
            f'the configuration is not JSON ({error}): give {{"Network": "10.2.0.0/16"}}'
        ) from None
    if not isinstance(value, dict):
        raise ConfigError(
            f'the configuration is {_show(value)}: give an object, {{"Network": "10.2.0.0/16"}}'
        )
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _show(value: object) -> str:
    """A value as the user wrote it, cut short."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _bool(fields: Mapping[str, object], name: str, *, default: bool) -> bool:
    value = fields.get(name.lower(), default)
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {_show(value)}: give true or false")
    return value


_CIDR: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,2}")


def _network(fields: Mapping[str, object]) -> IPv4Network:
    """The network, its host bits cleared as flannel does."""
    value = fields.get("network")
    wrong = ConfigError(f'Network is {_show(value)}: give an IPv4 network such as "10.2.0.0/16"')
    if value is None or value == "":
        raise ConfigError('Network is missing: give an IPv4 network such as "10.2.0.0/16"')
    if isinstance(value, str) and ":" in value:
        raise ConfigError(f"Network is {_show(value)}, IPv6, which this version does not support: give IPv4")
    if not isinstance(value, str) or _CIDR.fullmatch(value) is None:
        raise wrong
    try:
        network = IPv4Network(value, strict=False)
    except ValueError:
        raise wrong from None
    for reserved, name in (
        (IPv4Network("127.0.0.0/8"), "loopback"),
        (IPv4Network("224.0.0.0/4"), "multicast"),
    ):
        if network.overlaps(reserved):
            raise ConfigError(f"Network {network} contains {name} addresses: give one outside {reserved}")
    return network


def _subnet_len(fields: Mapping[str, object], network: IPv4Network) -> int:
    value = fields.get("subnetlen", 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"SubnetLen is {_show(value)}: give a number such as 24")
    if network.prefixlen > 28:
        raise ConfigError(f"Network {network} is too small: the smallest that can be shared out is a /28")
    if value == 0:
        return 24 if network.prefixlen <= 22 else network.prefixlen + 2
    if value > 30:
        raise ConfigError(f"SubnetLen is {value}: it must be 30 or less, so that a subnet holds a host")
    if value < network.prefixlen + 2:
        raise ConfigError(
            f"SubnetLen is {value}: Network {network} must hold at least four subnets,"
            f" so give {network.prefixlen + 2} to 30"
        )
    return value


def _subnet_range(
    fields: Mapping[str, object], network: IPv4Network, subnet_len: int
) -> tuple[IPv4Address, IPv4Address]:
    size = 2 ** (32 - subnet_len)
    # The first subnet is left out: its first address, on the tunnel device, would be the network's own.
    lowest = _limit(fields, "SubnetMin", network, subnet_len, network.network_address + size)
    highest = _limit(fields, "SubnetMax", network, subnet_len, network.broadcast_address - (size - 1))
    if lowest > highest:
        raise ConfigError(f"SubnetMin {lowest} is above SubnetMax {highest}: no subnet is left to lease")
    return lowest, highest


def _limit(
    fields: Mapping[str, object], name: str, network: IPv4Network, subnet_len: int, default: IPv4Address
) -> IPv4Address:
    value = fields.get(name.lower())
    if value is None:
        return default
    wrong = ConfigError(f'{name} is {_show(value)}: give a subnet\'s first address, such as "{default}"')
    if not isinstance(value, str):
        raise wrong
    try:
        address = IPv4Address(value)
    except ValueError:
        raise wrong from None
    if address.is_unspecified:  # flannel's notion of "not given"
        return default
    if address not in network:
        raise ConfigError(f"{name} {address} is not in the range of the Network {network}")
    aligned = IPv4Network((address, subnet_len), strict=False).network_address
    if address != aligned:
        raise ConfigError(f"{name} {address} is not on a SubnetLen boundary: give {aligned}")
    return address


def _backend(fields: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    value = fields.get("backend")
    if value is None:
        return "udp", {}
    if not isinstance(value, dict):
        raise ConfigError(f'Backend is {_show(value)}: give an object such as {{"Type": "udp"}}')
    supported = ", ".join(BACKENDS)
    kind = value.get("type")
    if not isinstance(kind, str) or not kind:
        seen = "missing" if not kind else _show(kind)
        raise ConfigError(f"Backend.Type is {seen}: give one that this version supports ({supported})")
    if kind.lower() not in BACKENDS:
        raise ConfigError(f"Backend.Type {_show(kind)} is not supported: this version supports {supported}")
    return kind.lower(), value
