"""What the kernel, and the protocols, allow a device: its name, and how small its MTU is. Pure."""

from collections.abc import Mapping
from typing import Final

__all__ = ["FLANNEL", "LONGEST_NAME", "LOWEST_MTU"]

FLANNEL: Final = "flannel"
"""Prefix of the names of flannel's devices."""

IFNAMSIZ: Final = 16  # linux/if.h

LONGEST_NAME: Final = IFNAMSIZ - 1
"""Characters, without the zero at the end."""

LOWEST_MTU: Final[Mapping[int, int]] = {4: 68, 6: 1280}
"""Bytes that every network must carry, by the version of IP (RFC 791, RFC 8200).

Below that the kernel takes a device's IPv6 away; 68 is also its least MTU of any (ETH_MIN_MTU of
linux/if_ether.h).
"""
