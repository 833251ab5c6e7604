"""Checks that the interface options of a flanneld match its node."""

from collections.abc import Sequence
from ipaddress import IPv4Address

__all__ = ["no_interface"]

OTHER_WAYS = ("iface-regex", "iface-can-reach")


def no_interface(options: Sequence[str], addresses: Sequence[IPv4Address | None]) -> str:
    """Return a problem if none of the options' `-iface` values can be found; else "".

    `addresses` are those of the node's eth0, eth1 and so on, as far as they are known. flannel uses the first
    one that it finds.
    """
    flags = [option.lstrip("-").partition("=") for option in options]
    asked = [value for name, _, value in flags if name == "iface" and value]
    if not asked or any(name in OTHER_WAYS for name, _, _ in flags):
        return ""
    if any(_may_be(value, addresses) for value in asked):
        return ""
    here = [
        f"eth{index}" if address is None else f"eth{index} ({address})"
        for index, address in enumerate(addresses)
    ]
    return f"-iface={asked[0]}: no such interface; the node has {' and '.join(here)}"


def _may_be(value: str, addresses: Sequence[IPv4Address | None]) -> bool:
    try:
        wanted = IPv4Address(value)
    except ValueError:
        return value in {"lo", *(f"eth{index}" for index in range(len(addresses)))}
    return None in addresses or wanted in addresses
