"""What a network's configuration says of the wireguard backend. Pure."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from flanneld_py.config.backend import BackendConfig, OwnDevices, Reservation, mtu_problems
from flanneld_py.config.keys import HIGHEST_MTU, HIGHEST_PORT, integer, string
from flanneld_py.config.reader import Problem
from flanneld_py.kernel.limits import LOWEST_MTU

__all__ = ["KEY_LENGTH", "OVERHEAD", "Wireguard", "is_key", "lowest_mtu"]

DEVICE, DEVICE_V6 = "flannel-wg", "flannel-wg-v6"  # flannel's

KEY_LENGTH: Final = 32  # bytes: WG_KEY_LEN of linux/wireguard.h

HIGHEST_INTERVAL: Final = (
    65535  # seconds: WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL of linux/wireguard.h is a u16
)

OVERHEAD: Final = 80
"""Bytes that it adds at most: an IPv6 header 40, UDP 8, and its own 16 and 16 (its whitepaper, 5.4.6)."""


def is_key(text: object) -> bool:
    """Whether it is a key in base64, as wg(8) prints it."""
    if not isinstance(text, str):
        return False
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_LENGTH
    except (binascii.Error, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class Wireguard(BackendConfig):
    """`mtu` 0 is taken from the interface; the interval is in seconds, 0 for never."""

    type: ClassVar[str] = "wireguard"
    devices: ClassVar[tuple[OwnDevices, ...]] = (OwnDevices("wireguard", re.compile(r"flannel-wg(-v6)?")),)

    listen_port: int = integer("ListenPort", 51820, 1, HIGHEST_PORT)
    listen_port_v6: int = integer("ListenPortV6", 51821, 1, HIGHEST_PORT)
    mtu: int = integer("MTU", 0, 0, HIGHEST_MTU, zero="from the interface")
    psk: str = string("PSK", secret=True)
    persistent_keepalive_interval: int = integer("PersistentKeepaliveInterval", 0, 0, HIGHEST_INTERVAL)
    mode: str = string("Mode", "separate", choices=("separate", "auto", "ipv4", "ipv6"))

    @property
    def is_separate(self) -> bool:
        """Whether each version of IP has a device of its own."""
        return self.mode == "separate"

    def device_names(self, versions: Sequence[int]) -> Mapping[int, str]:
        """The name of the device that has the subnets of each version of IP."""
        return {version: DEVICE_V6 if self.is_separate and version == 6 else DEVICE for version in versions}

    def port_of(self, device: str) -> int:
        """Where a device listens."""
        return self.listen_port_v6 if device == DEVICE_V6 else self.listen_port

    def problems(self, versions: Sequence[int]) -> Iterator[Problem]:
        """See `BackendConfig`."""
        if self.psk and not is_key(self.psk):
            # Not shown: it is a secret also when it is wrong.
            yield Problem("Backend.PSK", "is no key", "give 32 bytes in base64, as `wg genpsk` prints")
        devices = set(self.device_names(versions).values())
        # The kernel opens a device's port for both families at once.
        if len({self.port_of(device) for device in devices}) < len(devices):
            text = f"is {self.listen_port_v6} as Backend.ListenPort is, and two devices cannot share a port"
            yield Problem("Backend.ListenPortV6", text, 'give another one, or "Mode": "auto" for one device')
        yield from mtu_problems(self.mtu, lowest_mtu(versions))

    def reservations(self, versions: Sequence[int]) -> Iterator[Reservation]:
        """See `BackendConfig`."""
        for device in dict.fromkeys(self.device_names(versions).values()):
            yield Reservation.only_device(device, self.type)
            key = "ListenPortV6" if device == DEVICE_V6 else "ListenPort"
            yield Reservation.udp_port(self.port_of(device), f"Backend.{key}")


def lowest_mtu(versions: Sequence[int]) -> int:
    """The least MTU of an interface whose overlay has these versions of IP."""
    return max((LOWEST_MTU[version] for version in versions), default=0) + OVERHEAD
