"""Checks that the interface options of a flanneld match its node."""

from collections.abc import Sequence
from ipaddress import IPv4Address

__all__ = ["no_interface"]

INTERFACES = ("eth0", "lo")
"""The interfaces of a node when flanneld starts."""

OTHER_WAYS = ("iface-regex", "iface-can-reach")


def no_interface(options: Sequence[str], address: IPv4Address | None) -> str:
    """Return a problem if none of the options' `-iface` values can be found; else "".

    `address` is the node's, if it is already known. flannel uses the first one that it finds.
    """
    flags = [option.lstrip("-").partition("=") for option in options]
    asked = [value for name, _, value in flags if name == "iface" and value]
    if not asked or any(name in OTHER_WAYS for name, _, _ in flags):
        return ""
    if any(_may_be(value, address) for value in asked):
        return ""
    here = "eth0" if address is None else f"eth0 ({address})"
    return f"-iface={asked[0]}: no such interface; the node has {here}"


def _may_be(value: str, address: IPv4Address | None) -> bool:
    try:
        wanted = IPv4Address(value)
    except ValueError:
        return value in INTERFACES
    return address is None or wanted == address
