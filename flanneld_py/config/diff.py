"""A configuration, and what differs between two, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from flanneld_py.config.model import BackendConfig, NetworkConfig, Pool
from flanneld_py.subnet import Subnet

__all__ = ["changes", "settings"]

_SPELLED: Final[Mapping[str, str]] = {
    "vni": "VNI", "mtu": "MTU", "gbp": "GBP", "psk": "PSK", "listen_port_v6": "ListenPortV6",
}  # fmt: skip


def settings(backend: BackendConfig) -> dict[str, str]:
    """Each setting by its key, as text; a secret is not shown."""
    return {_key(field.name): _text(field.name, getattr(backend, field.name)) for field in fields(backend)}


def _key(name: str) -> str:
    return _SPELLED.get(name) or name.title().replace("_", "")


def _text(name: str, value: object) -> str:
    if name == "psk":
        return "(not shown)" if value else "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def changes(old: NetworkConfig, new: NetworkConfig, leased: Subnet | None = None) -> tuple[str, ...]:
    """What would be different after a restart, a line for each key; and that `leased` would be given up."""
    lines = [f"{line}; it takes effect when flanneld is restarted" for line in _changes(old, new)]
    if leased is not None and lines and not new.allows(leased):
        lines.append(f"our subnet {leased} is not allowed any more, and a restart gives it up for another")
    return tuple(lines)


def _changes(old: NetworkConfig, new: NetworkConfig) -> Iterator[str]:
    yield from _pool("", old.ipv4, new.ipv4)
    yield from _pool("IPv6", old.ipv6, new.ipv6)
    if old.backend.type != new.backend.type:
        yield f"Backend.Type {old.backend.type} -> {new.backend.type}"
    else:
        before, after = settings(old.backend), settings(new.backend)
        for key, value in after.items():
            if before[key] != value:
                yield f"Backend.{key} {before[key]} -> {value}"
        if before == after and old.backend != new.backend:
            yield "Backend.PSK is another"
    if old.nftables != new.nftables:
        yield f"EnableNFTables {str(old.nftables).lower()} -> {str(new.nftables).lower()}"


def _pool(
    prefix: str,
    old: Pool[IPv4Network] | Pool[IPv6Network] | None,
    new: Pool[IPv4Network] | Pool[IPv6Network] | None,
) -> Iterator[str]:
    family = prefix or "IPv4"
    if old is None or new is None:
        if old is not new:
            yield f"Enable{family} {str(old is not None).lower()} -> {str(new is not None).lower()}"
        return
    compared = (
        ("Network", old.network, new.network),
        ("SubnetLen", old.subnet_len, new.subnet_len),
        ("SubnetMin", old.subnet_min.network_address, new.subnet_min.network_address),
        ("SubnetMax", old.subnet_max.network_address, new.subnet_max.network_address),
    )
    for name, before, after in compared:
        if before != after:
            yield f"{prefix}{name} {before} -> {after}"
