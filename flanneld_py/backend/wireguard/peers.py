"""What a peer's lease means for the wireguard devices: a peer of the device, and routes to it. Pure.

As flannel's backend/wireguard, but with a route for each peer's subnet instead of one for the whole overlay,
so that a packet for a subnet that nobody holds is not swallowed by the device.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from flanneld_py.backend.peers import Remark, ignored, unusable
from flanneld_py.backend.wireguard.config import KEY_LENGTH, Wireguard, is_key
from flanneld_py.kernel.wg_peer import WgPeer
from flanneld_py.lease.model import Lease
from flanneld_py.subnet import Address, Addresses, Network, Subnet

__all__ = ["DevicePeer", "announced", "canonical", "peers_of", "plan_peers"]


@dataclass(frozen=True, slots=True)
class DevicePeer:
    """A peer of the device of that name."""

    device: str
    peer: WgPeer

    @property
    def place(self) -> tuple[str, str]:
        """Where it belongs: a device has one peer of a key."""
        return self.device, self.peer.key

    @property
    def removed(self) -> "DevicePeer":
        """What takes it away."""
        return DevicePeer(self.device, WgPeer(self.peer.key, remove=True))

    def __str__(self) -> str:
        peer = self.peer
        return f"peer {peer.key} of {self.device}, which is at {peer.endpoint}, UDP port {peer.port}"


def announced(key: str, port: int) -> dict[str, object]:
    """A lease's BackendData, or BackendV6Data, as of flannel since 0.26.6; older ones ignore the port."""
    return {"PublicKey": key, "Port": port}


def canonical(key: str) -> str:
    """The one form in which the kernel lists a key: base64 leaves some bits of the last letter open."""
    return base64.b64encode(base64.b64decode(key)).decode()


def peers_of(
    lease: Lease,
    config: Wireguard,
    devices: Mapping[int, str],
    own: Subnet,
    public: Addresses,
    own_key: str,
) -> tuple[dict[str, WgPeer], tuple[Remark, ...]]:
    """The lease's peer on each device, by the device's name, and why there is none.

    `devices` are our devices' names by IP version, 4 and 6; both are the same in every mode but `separate`.
    """
    if remark := ignored(lease, Wireguard.type, own):
        return {}, (remark,)
    subnets: dict[int, Network] = {
        network.version: network for network in lease.subnet.networks if network.version in devices
    }
    separate = len(set(devices.values())) > 1 or config.is_separate
    one_each: list[dict[int, Network]] = [{version: network} for version, network in subnets.items()]
    groups = one_each if separate else [subnets]
    found: dict[str, WgPeer] = {}
    remarks: list[Remark] = []
    for group in groups:
        if not group:
            continue
        version = next(iter(group))
        key, endpoint = _key(lease, group), _endpoint(lease, config, version, public, separate)
        port = _port(lease, config, version, separate)
        problem = unusable(endpoint)
        if not is_key(key):
            problem = f"its lease has no public key of {KEY_LENGTH} bytes"
        elif canonical(str(key)) == own_key:
            problem = (
                "its machine has our own key, so one is a copy of the other: remove the key's file on one of "
                "them, and restart flanneld there"
            )
        elif port is None:
            problem = "the Port of its lease is no UDP port"
        if problem or endpoint is None or port is None:
            text = f"Ignoring the subnet {', '.join(map(str, group.values()))}: {problem}"
            remarks.append(Remark(text, text))
            continue
        found[devices[version]] = WgPeer(
            canonical(str(key)),
            endpoint,
            port,
            tuple(group.values()),
            canonical(config.psk),
            config.persistent_keepalive_interval,
        )
    return found, tuple(remarks)


def _key(lease: Lease, group: Mapping[int, Network]) -> object:
    """IPv6's where there is IPv6, as flannel takes it; both are the same but in the mode `separate`."""
    return _said(lease.attrs.backend_v6_data if 6 in group else lease.attrs.backend_data, "PublicKey")


def _said(data: object, name: str) -> object:
    """What backend data has by this name, whose case does not matter, as in Go's JSON."""
    if not isinstance(data, dict):
        return None
    return next((value for key, value in data.items() if str(key).lower() == name.lower()), None)


def _port(lease: Lease, config: Wireguard, version: int, separate: bool) -> int | None:
    """Where the peer listens; None if it says nonsense. flannel before 0.26.6 says nothing: as we do.

    With one device for both families today's flannel writes its ListenPortV6 beside IPv6 all the same, where
    it does not listen.
    """
    ipv4, ipv6 = (_said(data, "Port") for data in (lease.attrs.backend_data, lease.attrs.backend_v6_data))
    if separate:
        port, default = (ipv4, config.listen_port) if version == 4 else (ipv6, config.listen_port_v6)
    else:
        port, default = ipv4 or (None if ipv6 == config.listen_port_v6 else ipv6), config.listen_port
    if port is None or port == 0:
        return default
    return port if isinstance(port, int) and not isinstance(port, bool) and 0 < port < 1 << 16 else None


def _endpoint(
    lease: Lease, config: Wireguard, version: int, public: Addresses, separate: bool
) -> Address | None:
    theirs = lease.attrs.public
    if separate:
        return theirs.ipv4 if version == 4 else theirs.ipv6
    match config.mode:
        case "ipv4":
            return theirs.ipv4
        case "ipv6":
            return theirs.ipv6
    # flannel's `auto`: IPv4, unless only IPv6 is likely to get through.
    if theirs.ipv4 is None or theirs.ipv6 is None:
        return theirs.ipv4 or theirs.ipv6
    if not theirs.ipv4.is_private and public.ipv4 is not None:
        return theirs.ipv4
    if not theirs.ipv6.is_private and public.ipv6 is not None and not public.ipv6.is_private:
        return theirs.ipv6
    return theirs.ipv4


def plan_peers(
    device: str, wanted: Mapping[str, WgPeer], seen: Mapping[str, WgPeer], *, places: bool
) -> tuple[DevicePeer, ...]:
    """What makes a device's peers the wanted ones; both by their keys.

    With `places` also where they are sent to. wireguard follows a peer that moves, or that is behind a NAT,
    so that is compared only where a lease may have changed unseen, as at the start of flanneld. Peers that
    are not wanted go first, for a subnet is behind one peer at a time.
    """
    gone = [DevicePeer(device, peer).removed for key, peer in seen.items() if key not in wanted]
    new = [
        DevicePeer(device, peer)
        for key, peer in wanted.items()
        if key not in seen or _said_of(peer, places) != _said_of(seen[key], places)
    ]
    return (*gone, *new)


def _said_of(peer: WgPeer, places: bool) -> tuple[object, ...]:
    where = (peer.endpoint, peer.port) if places else ()
    return (frozenset(peer.allowed), peer.psk, peer.keepalive, *where)
