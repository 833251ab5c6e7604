"""The names of the devices that the kernel carries packets by. They are flannel's, but for ipip's. Pure."""

from typing import Final

__all__ = ["IPIP", "WIREGUARD", "WIREGUARD_V6", "vxlan"]

WIREGUARD: Final = "flannel-wg"
WIREGUARD_V6: Final = "flannel-wg-v6"
IPIP: Final = "flannel.ipip"


def vxlan(vni: int, version: int) -> str:
    """Of a VNI, and a version of IP."""
    return f"flannel.{vni}" if version == 4 else f"flannel-v6.{vni}"
