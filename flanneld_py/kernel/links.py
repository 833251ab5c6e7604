"""Network devices of this machine: made, found, configured, taken away."""

import errno
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import devices
from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.devices import IFF_UP, VXLAN_PORT, Device, IpipLink, LinkSpec, VxlanLink

__all__ = ["IpipLink", "Link", "VxlanLink", "default_port", "delete_link", "ensure_ipip", "ensure_vxlan"]
__all__ += ["lacking", "link", "listed", "make_external_vxlan", "new_mac", "set_up"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """A device; `mtu` in bytes. `created`: just now; `reason` is why one of this name had to go for it."""

    name: str
    index: int
    mac: str
    mtu: int
    up: bool
    created: bool = False
    reason: str = ""


def link(name: str) -> Link | None:
    """The device of this name. Raises `OSError`."""
    with Channel() as channel:
        found = _device(channel, name)
    return None if found is None else _link(found)


def listed() -> list[Device]:
    """All devices of this machine. Raises `OSError`."""
    with Channel() as channel:
        dumped = channel.dump(devices.dump_links(), devices.RTM_NEWLINK)
    return [devices.device(data, message.start, message.end) for data, message in dumped]


def delete_link(name: str) -> bool:
    """Take the device away; whether there was one. Raises `OSError`."""
    with Channel() as channel:
        found = _device(channel, name)
        if found is None:
            return False
        try:
            channel.execute(devices.delete(found.index))
        except OSError as error:
            if error.errno == errno.ENODEV:  # it went by itself meanwhile
                return False
            raise OSError(error.errno, f"Deleting {name}: {error.strerror}") from error
    return True


def ensure_vxlan(wanted: VxlanLink) -> Link:
    """Have this vxlan device, with its MTU; not yet up.

    One that is there is kept with its MAC and all that belongs to it, if it is as wanted. Otherwise it is
    deleted and made anew with the MAC that it had. Raises `Fatal`.
    """
    port = wanted.port or default_port()
    made = _ensure(wanted, port)
    _refuse_router_advertisements(wanted.name)
    return made


def ensure_ipip(wanted: IpipLink) -> Link:
    """Have this ipip device, as `ensure_vxlan`. Raises `Fatal`, also where a device of this name is no ipip.

    flannel does not delete that one either: it is somebody's.
    """
    return _ensure(wanted, 0)


def make_external_vxlan(name: str, under: str, port: int) -> int:
    """Make a vxlan device of any VNI upon the device `under`, not yet up; its index. Raises `OSError`."""
    with Channel() as channel:
        channel.execute(devices.create_external_vxlan(name, socket.if_nametoindex(under), port))
    return socket.if_nametoindex(name)


def set_up(index: int) -> None:
    """Set a device up. Raises `OSError`."""
    with Channel() as channel:
        channel.execute(devices.change(index, up=True))


def _ensure(wanted: LinkSpec, port: int) -> Link:
    reason = ""
    try:
        with Channel() as channel:
            there = _device(channel, wanted.name)
            mac = wanted.mac if isinstance(wanted, VxlanLink) else ""
            if there is not None:
                reason = devices.difference(wanted, port, there)
                if not reason:
                    if wanted.mtu and there.mtu != wanted.mtu:
                        channel.execute(devices.change(there.index, mtu=wanted.mtu))
                    return _link(_existing(channel, wanted.name))
                if isinstance(wanted, IpipLink) and there.kind != "ipip":
                    message = f"{wanted.name} is no ipip device; remove it (ip link delete {wanted.name})"
                    raise Fatal(message, code=Exit.TAKEN)
                logger.warning(
                    "%s already exists with incompatible configuration: %s; recreating device",
                    wanted.name,
                    reason,
                )
                mac = mac or (there.mac if there.kind == "vxlan" else "")
                channel.execute(devices.delete(there.index))
            channel.execute(devices.create(wanted, port, mac or new_mac()))
            return _link(_existing(channel, wanted.name), created=True, reason=reason)
    except OSError as error:
        raise _fatal(wanted, error) from error


def _fatal(wanted: LinkSpec, error: OSError) -> Fatal:
    kind = "vxlan" if isinstance(wanted, VxlanLink) else "ipip"
    if error.errno == errno.EOPNOTSUPP:
        return Fatal(f"{lacking(kind)}: {error.strerror}", code=Exit.KERNEL)
    if error.errno in (errno.EEXIST, errno.EADDRINUSE):
        hint = f"`ip -d link show type {kind}` lists what may be in the way"
        return Fatal(f"Making {wanted.name}: {error.strerror}; {hint}", code=Exit.TAKEN)
    return Fatal(f"Making {wanted.name}: {error.strerror or error}", code=Exit.KERNEL)


def lacking(kind: str) -> str:
    """That this kernel cannot make devices of this kind, and what to do."""
    return (
        f"This kernel has no {kind} devices, so the backend {kind} cannot work here: load its module on the "
        f"host (modprobe {kind}), or choose another backend"
    )


def _device(channel: Channel, name: str) -> Device | None:
    try:
        data, message = channel.ask(devices.get_link(name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return devices.device(data, message.start, message.end)


def _existing(channel: Channel, name: str) -> Device:
    found = _device(channel, name)
    if found is None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    return found


def _link(found: Device, created: bool = False, reason: str = "") -> Link:
    return Link(found.name, found.index, found.mac, found.mtu, bool(found.flags & IFF_UP), created, reason)


def new_mac() -> str:
    """One that is locally administered, and of one machine.

    Given at once, for systemd's udev changes a MAC that the kernel made up some time after the device is up
    (MACAddressPolicy=persistent), and peers would go on with the old one.
    """
    first, *others = os.urandom(6)
    return bytes([first & 0xFE | 0x02, *others]).hex(":")


def default_port() -> int:
    """The port that the kernel takes for a vxlan device where none is given."""
    try:
        return int(Path("/sys/module/vxlan/parameters/udp_port").read_text()) or VXLAN_PORT
    except (OSError, ValueError):  # the module is not loaded yet, or there is no /sys
        return VXLAN_PORT


def _refuse_router_advertisements(name: str) -> None:
    """As flannel. Of a kernel without IPv6 there is nothing to refuse."""
    setting = Path(f"/proc/sys/net/ipv6/conf/{name}/accept_ra")
    try:
        if setting.read_text().strip() != "0":
            setting.write_text("0")
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("Router advertisements on %s stay accepted: %s: %s", name, setting, error.strerror)
