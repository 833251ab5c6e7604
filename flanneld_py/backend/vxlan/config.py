"""What a network's configuration says of the vxlan backend, and the options that it takes. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from flanneld_py.config.backend import BackendConfig, OwnDevices, Reservation, mtu_problems
from flanneld_py.config.keys import HIGHEST_MTU, HIGHEST_PORT, boolean, integer
from flanneld_py.config.reader import Problem
from flanneld_py.kernel.devices import VXLAN_PORT
from flanneld_py.kernel.limits import LONGEST_NAME, LOWEST_MTU

__all__ = ["OVERHEAD", "Vxlan", "VxlanOptions", "device_name", "lowest_mtu"]

HIGHEST_VNI: Final = 2**24 - 1  # RFC 7348

OVERHEAD: Final[Mapping[int, int]] = {4: 14 + 8 + 8 + 20, 6: 14 + 8 + 8 + 40}
"""Bytes that encapsulation adds to an inner packet, by the version of the outer one.

They are its Ethernet header 14, VXLAN 8 (RFC 7348), UDP 8, and an IP header of 20 or 40 (RFC 791, RFC 8200)
without options.
"""


def device_name(vni: int, version: int) -> str:
    """That of the device for packets of a version of IP; it is flannel's."""
    return f"flannel.{vni}" if version == 4 else f"flannel-v6.{vni}"


def lowest_mtu(versions: Sequence[int]) -> int:
    """The least MTU of an interface whose overlay has these versions of IP."""
    return max((LOWEST_MTU[version] + OVERHEAD[version] for version in versions), default=0)


@dataclass(frozen=True, slots=True)
class Vxlan(BackendConfig):
    """`port` 0 is the kernel's default; `mtu` 0 is taken from the interface, and counts outer packets."""

    type: ClassVar[str] = "vxlan"
    devices: ClassVar[tuple[OwnDevices, ...]] = (OwnDevices("vxlan", re.compile(r"flannel(-v6)?\.[0-9]+")),)

    vni: int = integer("VNI", 1, 1, HIGHEST_VNI)
    port: int = integer("Port", 0, 0, HIGHEST_PORT, zero=str(VXLAN_PORT))
    mtu: int = integer("MTU", 0, 0, HIGHEST_MTU, zero="from the interface")
    gbp: bool = boolean("GBP")
    learning: bool = boolean("Learning")
    direct_routing: bool = boolean("DirectRouting")

    def problems(self, versions: Sequence[int]) -> Iterator[Problem]:
        """See `BackendConfig`. The larger version has the longer name, and the larger headers."""
        if not versions:
            return
        version = max(versions)
        name = device_name(self.vni, version)
        if len(name) > LONGEST_NAME:
            highest = 10 ** (LONGEST_NAME - len(name.rstrip("0123456789"))) - 1
            longest = f"a name has at most {LONGEST_NAME} characters"
            text = f"is {self.vni}, which makes a device {name}, and {longest}"
            yield Problem("Backend.VNI", text, f"give a number from 1 to {highest}")
        yield from mtu_problems(self.mtu, lowest_mtu(versions))

    def reservations(self, versions: Sequence[int]) -> Iterator[Reservation]:
        """See `BackendConfig`."""
        for version in versions:
            yield Reservation.device(device_name(self.vni, version), "Backend.VNI")
        # The kernel tells networks of one port apart by their VNI (vxlan_find_sock of drivers/net/vxlan).
        yield Reservation.udp_port(self.port or VXLAN_PORT, "Backend.Port", f"vxlan, GBP {self.gbp}")


@dataclass(frozen=True, slots=True)
class VxlanOptions:
    """See `Options`."""

    vxlan_source_check: bool = True
    vxlan_tx_checksum: str = "auto"
