"""What a peer's lease means for the vxlan devices: route, neighbour and FDB entry, or a direct route. Pure.

As flannel since 0.9.0 (backend/vxlan/vxlan_network.go): nothing is resolved when a packet comes, so the first
packet to a peer is not lost.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flanneld_py.backend.peers import Carried, Direct, Remark, ignored, unusable
from flanneld_py.backend.vxlan.config import Vxlan
from flanneld_py.kernel.entries import Entry, FdbEntry, Neighbour, Route
from flanneld_py.lease.model import Lease, cut
from flanneld_py.subnet import Address, Network, Subnet

__all__ = ["Vteps", "announced", "announced_mac", "entries", "is_older", "is_vtep_mac"]

# Go's type of the VNI in a lease was uint16 before flannel 0.24: so it cuts its own, and cannot read a lease
# with a larger one. Today's reads both, and compares neither.
_OLDER_VNI: Final = 0xFFFF

_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class Vteps:
    """Our devices: the kernel's index of that with an IPv4 underlay, and of that with an IPv6 one."""

    ipv4: int | None = None
    ipv6: int | None = None


def announced(vni: int, mac: str, *, older: bool = False) -> dict[str, object]:
    """A lease's BackendData, or BackendV6Data; `older`: in the form of flannels before 0.24."""
    return {"VNI": vni & _OLDER_VNI if older else vni, "VtepMAC": mac}


def is_older(lease: Lease, vni: int) -> bool:
    """Whether the peer announces our VNI as flannels before 0.24 do, which can read it in this form alone."""
    said = {_vni(data) for data in (lease.attrs.backend_data, lease.attrs.backend_v6_data)}
    return vni > _OLDER_VNI and vni & _OLDER_VNI in said


def is_vtep_mac(mac: str) -> bool:
    """Whether a device can have it: one machine's (IEEE 802: the group bit is clear), and not all zero.

    To the kernel an FDB entry of the address 00:00:00:00:00:00 means every machine that is not known.
    """
    return _MAC.fullmatch(mac) is not None and not int(mac[:2], 16) & 1 and mac.strip("0:") != ""


def announced_mac(data: object) -> str:
    """The MAC of a lease's BackendData, or BackendV6Data; empty if there is none."""
    return _vtep_mac(data, "")[0]


def entries(lease: Lease, vteps: Vteps, vni: int, own: Subnet, direct: Direct | None) -> Carried:
    """What it takes to carry packets to this peer. `own` is our subnet; nothing of it is taken from us.

    Those that are `direct` are reached without encapsulation (DirectRouting).
    """
    attrs = lease.attrs
    if remark := ignored(lease, Vxlan.type, own):
        return Carried(remarks=(remark,))
    found: list[Entry] = []
    remarks: list[Remark] = []
    families: tuple[tuple[int | None, Network | None, Address | None, object | None, str], ...] = (
        (vteps.ipv4, lease.subnet.ipv4, attrs.public.ipv4, attrs.backend_data, "BackendData"),
        (vteps.ipv6, lease.subnet.ipv6, attrs.public.ipv6, attrs.backend_v6_data, "BackendV6Data"),
    )
    for device, network, public, data, name in families:
        if device is None or network is None:
            continue
        mac, problem = _vtep_mac(data, name)
        problem = problem or unusable(public)
        if problem or public is None:
            remarks.append(Remark(f"{network} {problem}", f"Ignoring the subnet {network}: {problem}"))
            continue
        remarks.extend(_other_vni(network, data, vni))
        found.extend(_ways(network, public, mac, device, direct))
    return Carried(tuple(found), tuple(remarks))


def _ways(network: Network, public: Address, mac: str, device: int, direct: Direct | None) -> Iterator[Entry]:
    if direct is not None and public in direct:
        yield Route(network, direct.index, gateway=public)
        return
    gateway = network.network_address
    yield FdbEntry(device, mac, public)
    yield Neighbour(device, gateway, mac)
    yield Route(network, device, gateway=gateway, onlink=True)


def _vtep_mac(data: object, name: str) -> tuple[str, str]:
    """The MAC, or what is wrong. As Go's JSON does, the case of keys is ignored."""
    if not isinstance(data, dict):
        return "", f'its {name} is {cut(data)}, not {{"VtepMAC": ...}}'
    mac = next((value for key, value in data.items() if str(key).lower() == "vtepmac"), None)
    text = mac.lower().replace("-", ":") if isinstance(mac, str) else ""
    if not is_vtep_mac(text):
        return "", f"VtepMAC of its {name} is {cut(mac)}, not the MAC of a machine"
    return text, ""


def _other_vni(network: Network, data: object, vni: int) -> Iterator[Remark]:
    """v0.5.5 announces no VNI; a different one means that neither hears the other."""
    other = _vni(data)
    if other is not None and other not in (vni, vni & _OLDER_VNI):
        text = f"The peer of {network} uses VNI {other} and we {vni}: "
        text += "restart whichever flanneld still has the older configuration"
        yield Remark(f"VNI {network} {other}", text)


def _vni(data: object) -> object:
    if not isinstance(data, dict):
        return None
    found = next((value for key, value in data.items() if str(key).lower() == "vni"), None)
    return found if found is None or isinstance(found, int) else cut(found)
