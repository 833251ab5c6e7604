"""WireGuard devices and their peers, through pyroute2 (wg(8), linux/wireguard.h)."""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic.wireguard import WireGuard

from flanneld_py.errors import Exit, Fatal
from flanneld_py.subnet import Address, Network

__all__ = ["WgPeer", "asked", "ensure", "listed", "peers", "set_peers"]


@dataclass(frozen=True, slots=True)
class WgPeer:
    """A peer to configure: keys in base64, keepalive in seconds. With `remove` only the key matters."""

    key: str
    endpoint: Address
    port: int
    allowed: tuple[Network, ...]
    psk: str = ""
    keepalive: int = 0
    remove: bool = False


def ensure(name: str, mtu: int, private_key: str, port: int) -> int:
    """Create or update this device with MTU (bytes), key and UDP port, not yet up; return its index.

    An existing device keeps its peers. Raises `Fatal`, also if this kernel does not support wireguard.
    """
    try:
        with IPRoute() as ip:
            index = _index(ip, name)
            if index is None:
                ip.link("add", ifname=name, kind="wireguard", mtu=mtu)
                index = _index(ip, name)
            elif _kind(ip, index) != "wireguard":
                raise Fatal(
                    f"{name} is not a wireguard device; remove it (ip link delete {name})", code=Exit.TAKEN
                )
            else:
                ip.link("set", index=index, mtu=mtu)
        with WireGuard() as wg:
            wg.set(name, private_key=private_key, listen_port=port)
    except NetlinkError as error:
        raise _fatal(name, port, error) from error
    if index is None:
        raise Fatal(f"Creating {name}: it has disappeared again", code=Exit.KERNEL)
    return index


def _index(ip: IPRoute, name: str) -> int | None:
    found = ip.link_lookup(ifname=name)
    return int(found[0]) if found else None


def _kind(ip: IPRoute, index: int) -> str | None:
    (link,) = ip.link("get", index=index)
    kind: str | None = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return kind


def _fatal(name: str, port: int, error: NetlinkError) -> Fatal:
    words = os.strerror(error.code)
    if error.code == errno.EOPNOTSUPP:
        return Fatal(
            "This kernel does not support wireguard devices (module wireguard), so the backend wireguard "
            f"cannot work here: {words}",
            code=Exit.KERNEL,
        )
    if error.code == errno.EADDRINUSE:
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
    asked: dict[str, object] = {
        "public_key": peer.key,
        "endpoint_addr": str(peer.endpoint),
        "endpoint_port": peer.port,
        "persistent_keepalive": peer.keepalive,
        "replace_allowed_ips": True,
        "allowed_ips": [str(network) for network in peer.allowed],
    }
    return asked | ({"preshared_key": peer.psk} if peer.psk else {})


def peers(name: str) -> dict[str, frozenset[Network]]:
    """Return the allowed IPs of each peer of the device, by its key. Raises `OSError`."""
    found: dict[str, frozenset[Network]] = {}
    try:
        with WireGuard() as wg:
            # A long list spans several messages, and a peer may continue in the next.
            for message in wg.info(name):
                for key, networks in listed(message):
                    found[key] = found.get(key, frozenset()) | networks
    except NetlinkError as error:
        raise OSError(error.code, f"Listing the peers of {name}: {os.strerror(error.code)}") from error
    return found


def listed(message: Any) -> Iterator[tuple[str, frozenset[Network]]]:
    """Decode the peers in one kernel message, each with its key and allowed IPs."""
    for peer in message.get_attr("WGDEVICE_A_PEERS") or ():
        networks = (ip_network(item["addr"]) for item in peer.get_attr("WGPEER_A_ALLOWEDIPS") or ())
        yield peer.get_attr("WGPEER_A_PUBLIC_KEY").decode(), frozenset(networks)
