"""The wireguard backend: encrypted, where the kernel has it (flannel's backend/wireguard)."""

import base64
import errno
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from ipaddress import ip_interface
from pathlib import Path
from typing import Final

from flanneld_py.backend.kernel_backend import KernelBackend, Table, outdone
from flanneld_py.backend.kind import NodeContext
from flanneld_py.backend.ledger import Wants
from flanneld_py.backend.mtu import require_mtu
from flanneld_py.backend.peers import Carried, of_families
from flanneld_py.backend.wireguard.config import OVERHEAD, Wireguard, is_key, lowest_mtu
from flanneld_py.backend.wireguard.peers import DevicePeer, announced, peers_of, plan_peers
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import own_devices
from flanneld_py.kernel import table as kernel_table
from flanneld_py.kernel import wireguard as kernel_wireguard
from flanneld_py.kernel.desired import DesiredDevice, pools
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.wg_peer import WgPeer
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, PeerEvent
from flanneld_py.runtime import files
from flanneld_py.subnet import Addresses, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["WireguardBackend"]

logger = logging.getLogger(__name__)

KEY_FILE: Final = "/run/flannel/wgkey"
"""flannel's; the environment's WIREGUARD_KEY_FILE names another."""


class WireguardBackend(KernelBackend):
    """See `backend.Backend`. The devices outlive us, so that a restart loses no packet."""

    def __init__(
        self, network: NetworkConfig, config: Wireguard, node: NodeContext, *, table: Table = kernel_table
    ) -> None:
        super().__init__(network.overlay, node.interface, table)
        self._config = config
        self._pools = pools(network)
        self._lowest_mtu = lowest_mtu(network.versions)
        self.follow(node.interface, node.public)
        self._device_of = config.device_names(network.versions)
        self._private, self._key = _keys(Path(os.environ.get("WIREGUARD_KEY_FILE") or KEY_FILE))
        self._announced = {
            version: announced(self._key, config.port_of(name)) for version, name in self._device_of.items()
        }
        self._indices: dict[str, int] = {}
        self._wants = _none()
        # Whether the kernel has it at all is to be known before a lease is taken.
        self._ensure()

    def attrs(self) -> LeaseAttrs:
        """See `Backend`."""
        ipv4, ipv6 = (self._announced.get(version) for version in (4, 6))
        return LeaseAttrs(self._public, Wireguard.type, ipv4, ipv6)

    def follow(self, interface: Interface, public: Addresses) -> None:
        """See `Backend`. The devices are bound to no address."""
        outer = self._config.mtu or interface.mtu
        require_mtu(outer, self._lowest_mtu, Wireguard.type, interface)
        self._interface = interface
        self.mtu = outer - OVERHEAD
        self._public = of_families(public, self._overlay)

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`."""
        self._own = subnet
        self._ensure()
        for device in self.owned():
            own_devices.establish(device)

    def _ensure(self) -> None:
        for name in dict.fromkeys(self._device_of.values()):
            self._indices[name] = kernel_wireguard.ensure(
                name, self.mtu, self._private, self._config.port_of(name)
            )

    def owned(self) -> Sequence[DesiredDevice]:
        """See `Backend`."""
        return tuple(
            DesiredDevice(
                name,
                index,
                self.mtu,
                tuple(
                    ip_interface(network.network_address)
                    for network in self._own.networks
                    if self._device_of[network.version] == name
                ),
                pools=self._pools,
            )
            for name, index in self._indices.items()
        )

    def broken(self) -> str:
        """See `Backend`."""
        return ""

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:
        """See `Backend`."""
        self._wants = _none()
        for lease in peers.values():
            self._want(lease)
        self._wants.differences()  # the whole of it is compared instead
        super().carry(peers, until)
        self._sync(places=True)

    def change(self, events: Sequence[PeerEvent]) -> None:
        """See `Backend`."""
        for event in events:
            if isinstance(event, PeerAdded):
                self._want(event.lease)
            else:
                self._wants.remove(event.lease.subnet)
        new, gone = self._wants.differences()
        self._set([*(peer.removed for peer in gone), *new])
        super().change(events)

    def release(self) -> None:
        """See `Backend`."""
        self._wants = _none()
        with ExitStack() as stack:  # the one also where the other fails
            stack.callback(self._forget_peers)
            super().release()

    def repair(self) -> int:
        """See `Backend`."""
        repaired = self._sync(places=False)
        self._repairs += repaired
        return super().repair() + repaired

    def _carried(self, lease: Lease) -> Carried:
        routes = tuple(
            Route(network, self._indices[name])
            for name, peer in self._peers(lease).items()
            for network in peer.allowed
        )
        return Carried(routes, ())

    def _want(self, lease: Lease) -> None:
        peers = [DevicePeer(name, peer) for name, peer in self._peers(lease).items()]
        for shared in self._wants.put(lease.subnet, peers):
            self._remark(outdone(shared))

    def _peers(self, lease: Lease) -> dict[str, WgPeer]:
        found, remarks = peers_of(lease, self._config, self._device_of, self._own, self._public, self._key)
        for remark in remarks:
            self._remark(remark)
        return found

    def _forget_peers(self) -> None:
        """Have none on any device. Raises `OSError`."""
        for name in self._indices:
            try:
                seen = kernel_wireguard.peers(name)
            except OSError as error:
                if error.errno == errno.ENODEV:  # a device that is gone has none
                    continue
                raise
            changes = [WgPeer(key, remove=True) for key in seen]
            for _, refusal in kernel_wireguard.set_peers(name, changes) if changes else ():
                raise refusal

    def _sync(self, *, places: bool) -> int:
        """Compare the peers of the devices with those that are wanted; how many differed. As `plan_peers`."""
        wanted: dict[str, dict[str, WgPeer]] = {name: {} for name in self._indices}
        for (name, key), entry in self._wants.wanted.items():
            wanted[name][key] = entry.peer
        asked: list[DevicePeer] = []
        for name, peers in wanted.items():
            try:
                asked += plan_peers(name, peers, kernel_wireguard.peers(name), places=places)
            except OSError as error:
                logger.error("%s. Retrying", error.strerror)  # noqa: TRY400
        self._set(asked)
        return len(asked)

    def _set(self, asked: Sequence[DevicePeer]) -> None:
        for name in self._indices:
            changes = [change.peer for change in asked if change.device == name]
            for _, error in kernel_wireguard.set_peers(name, changes) if changes else ():
                logger.error("%s. Retrying", error.strerror)

    def _devices(self) -> Mapping[str, int]:
        return self._indices


def _none() -> Wants[tuple[str, str], DevicePeer]:
    """No peer is wanted."""
    return Wants(lambda entry: entry.place)


def _keys(path: Path) -> tuple[str, str]:
    """Our private key, kept in the file from the first start on, and the public key that goes with it."""
    # Here, for only this backend needs it.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    try:
        text = files.read(path).strip()
    except FileNotFoundError:
        text = base64.b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode()
        _keep(path, text)
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "not text"
        raise Fatal(f"Reading the wireguard key {path}: {words}", code=Exit.FILE) from error
    if not is_key(text):
        raise Fatal(f"Reading the wireguard key {path}: not 32 bytes in base64: remove it", code=Exit.FILE)
    private = X25519PrivateKey.from_private_bytes(base64.b64decode(text))
    return text, base64.b64encode(private.public_key().public_bytes_raw()).decode()


def _keep(path: Path, text: str) -> None:
    """Write a new file that nobody else ever could read."""
    try:
        files.make_folder(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    except OSError as error:
        raise Fatal(f"Keeping the wireguard key in {path}: {error.strerror}", code=Exit.FILE) from error
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise Fatal(f"Keeping the wireguard key in {path}: {error.strerror}", code=Exit.FILE) from error
