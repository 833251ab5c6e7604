"""What differs between two configurations, in words."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from flanneld_py.config.model import NetworkConfig, Pool
from flanneld_py.subnet import Subnet

__all__ = ["changes"]


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
        yield from (f"Backend.{change}" for change in old.backend.changes(new.backend))
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
