"""WireGuard devices and their peers, through pyroute2 (wg(8), linux/wireguard.h)."""

import base64
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic.wireguard import WireGuard

from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel.links import lacking
from flanneld_py.kernel.wg_peer import WgPeer

__all__ = ["asked", "ensure", "listed", "peers", "set_peers"]


NO_PSK: Final = base64.b64encode(bytes(32)).decode()
"""How the kernel says that a peer has no preshared key, and is told."""


def ensure(name: str, mtu: int, private_key: str, port: int) -> int:
    """Create or update this device with MTU (bytes), key and UDP port, and set it up; return its index.

    Once it is up the port is ours. An existing device keeps its peers. Raises `Fatal`, also if this kernel
    does not support wireguard or the port is in use; then a device created for this is deleted again.
    """
    made = False
    with IPRoute() as ip:
        try:
            index = _index(ip, name)
            if index is None:
                ip.link("add", ifname=name, kind="wireguard", mtu=mtu)
                made, index = True, _index(ip, name)
            elif _kind(ip, index) != "wireguard":
                raise Fatal(
                    f"{name} is not a wireguard device; remove it (ip link delete {name})", code=Exit.TAKEN
                )
            else:
                ip.link("set", index=index, mtu=mtu)
            if index is None:
                raise NetlinkError(errno.ENODEV)
            with WireGuard() as wg:
                wg.set(name, private_key=private_key, listen_port=port)
            ip.link("set", index=index, state="up")
        except NetlinkError as error:
            if made:
                with suppress(NetlinkError):
                    ip.link("delete", ifname=name)
            words = os.strerror(error.code)
            raise _fatal(name, port, error.code, words) from OSError(error.code, words)
    return index


def _index(ip: IPRoute, name: str) -> int | None:
    found = ip.link_lookup(ifname=name)
    return int(found[0]) if found else None


def _kind(ip: IPRoute, index: int) -> str | None:
    (link,) = ip.link("get", index=index)
    kind: str | None = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return kind


def _fatal(name: str, port: int, code: int, words: str) -> Fatal:
    if code == errno.EOPNOTSUPP:
        return Fatal(f"{lacking('wireguard')}: {words}", code=Exit.KERNEL)
    if code == errno.EADDRINUSE:
        return Fatal(
            f"Creating {name}: UDP port {port} is in use; is there another wireguard device? Set another "
            "ListenPort",
            code=Exit.TAKEN,
        )
    return Fatal(f"Creating {name}: {words}", code=Exit.KERNEL)


def set_peers(name: str, changes: Sequence[WgPeer]) -> list[tuple[WgPeer, OSError]]:
    """Set or remove these peers in order; return those that the kernel refused, with its reason."""
    failed = []
    with WireGuard() as wg:
        for change in changes:
            try:
                wg.set(name, peer=asked(change))
            except NetlinkError as error:
                words = f"Setting the peer {change.key} of {name}: {os.strerror(error.code)}"
                failed.append((change, OSError(error.code, words)))
    return failed


def asked(peer: WgPeer) -> dict[str, object]:
    """Encode a peer for pyroute2."""
    if peer.remove:
        return {"public_key": peer.key, "remove": True}
    return {
        "public_key": peer.key,
        "endpoint_addr": str(peer.endpoint),
        "endpoint_port": peer.port,
        "preshared_key": peer.psk or NO_PSK,
        "persistent_keepalive": peer.keepalive,
        "replace_allowed_ips": True,
        "allowed_ips": [str(network) for network in peer.allowed],
    }


def peers(name: str) -> dict[str, WgPeer]:
    """Return the peers of the device by their keys. Raises `OSError`."""
    found: dict[str, WgPeer] = {}
    try:
        with WireGuard() as wg:
            # A long list spans several messages, and a peer's subnets may continue in the next.
            for message in wg.info(name):
                for peer in listed(message):
                    before = found.get(peer.key)
                    found[peer.key] = (
                        peer if before is None else replace(before, allowed=before.allowed + peer.allowed)
                    )
    except NetlinkError as error:
        raise OSError(error.code, f"Listing the peers of {name}: {os.strerror(error.code)}") from error
    return found


def listed(message: Any) -> Iterator[WgPeer]:
    """Decode the peers in one kernel message."""
    for peer in message.get_attr("WGDEVICE_A_PEERS") or ():
        where = peer.get_attr("WGPEER_A_ENDPOINT")
        psk = (peer.get_attr("WGPEER_A_PRESHARED_KEY") or b"").decode()
        yield WgPeer(
            peer.get_attr("WGPEER_A_PUBLIC_KEY").decode(),
            ip_address(where["addr"]) if where else None,
            where["port"] if where else 0,
            tuple(ip_network(item["addr"]) for item in peer.get_attr("WGPEER_A_ALLOWEDIPS") or ()),
            "" if psk == NO_PSK else psk,
            peer.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") or 0,
        )
