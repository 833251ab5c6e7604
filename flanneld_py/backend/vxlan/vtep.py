"""A vxlan device of ours, a VXLAN tunnel endpoint (RFC 7348)."""

import errno
import logging
from functools import partial
from ipaddress import IPv4Address, ip_interface

from flanneld_py.backend.vxlan.config import OVERHEAD, Vxlan, device_name
from flanneld_py.backend.vxlan.entries import is_vtep_mac
from flanneld_py.backend.vxlan.tx_checksum import Examiner
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import links, offload, own_devices
from flanneld_py.kernel.desired import AnyPool, DesiredDevice
from flanneld_py.kernel.device_lock import DeviceLock, LockedByAnother
from flanneld_py.kernel.devices import VXLAN_PORT
from flanneld_py.subnet import Address

__all__ = ["Vtep"]

logger = logging.getLogger(__name__)


class Vtep:
    """Encapsulates in this IP version; bound to no interface before `stand`.

    Its MAC is that of an existing device of this name, so that peers do not notice a restart, or that of our
    lease from before a reboot. A new one is random: anyone who can guess it could inject packets into the
    overlay.
    """

    def __init__(
        self,
        config: Vxlan,
        version: int,
        tx_checksum: str,
        pools: tuple[AnyPool, ...],
    ) -> None:
        self.name = device_name(config.vni, version)
        self._config = config
        self._under = 0
        self._local: Address = IPv4Address(0)
        self._tx_checksum = tx_checksum
        self._pools = pools
        self._address: Address = IPv4Address(0)
        self._examiner: Examiner | None = None
        self._lock: DeviceLock | None = None
        self.index = self.mtu = 0
        found = links.link(self.name)
        self._new = found is None or not is_vtep_mac(found.mac)
        self.mac = links.new_mac() if found is None or self._new else found.mac

    def recall(self, mac: str) -> None:
        """Use this MAC again, unless a device exists already or the MAC is invalid."""
        if self._new and is_vtep_mac(mac):
            self.mac = mac

    def try_out(self) -> None:
        """See whether the kernel has such a device, and the port is free, before a lease is taken for it.

        Nothing is left. Raises `Fatal`.
        """
        if links.link(self.name) is not None:
            return
        made = links.ensure_vxlan(self._spec())
        try:
            self._establish(DesiredDevice(self.name, made.index, self.mtu))
        finally:
            links.delete_link(self.name)

    def stand(self, under: int, local: Address, outer: int) -> None:
        """Send by the interface of this index, from this address, packets of `outer` bytes at most.

        `make` sees to it.
        """
        self._under, self._local, self.mtu = under, local, outer - OVERHEAD[local.version]

    def make(self, address: Address) -> None:
        """Have the device, with this address, and up. Raises `Fatal`."""
        if self._lock is None:
            self._lock = _held(self.name)
        link = links.ensure_vxlan(self._spec())
        self.index, self.mac, self._address, self._new = link.index, link.mac, address, False
        try:
            self._establish(self.wanted())
        except Fatal:
            if link.created:  # a device that cannot be used is of no use to anybody
                links.delete_link(self.name)
            raise
        self._configure_tx_checksum()

    def wanted(self) -> DesiredDevice:
        """The device as it should be, once it was made."""
        # A network of one address, so that there is no route to a network or for broadcasts.
        addresses = (ip_interface(self._address),)
        return DesiredDevice(self.name, self.index, self.mtu, addresses, mac=self.mac, pools=self._pools)

    def look(self) -> None:
        """Close the connections of processes that asked who holds the device."""
        if self._lock is not None:
            self._lock.look()

    def meet(self, peer: Address) -> None:
        """The address of a peer's device, which packets can be sent to now."""
        if self._examiner is not None:
            self._examiner.meet(peer)

    def end_examination(self) -> None:
        """Find out no more about checksums."""
        if self._examiner is not None:
            self._examiner.stop()
            self._examiner = None

    def close(self) -> None:
        """Have no more to do with the device, which stays."""
        self.end_examination()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _spec(self) -> links.VxlanLink:
        config = self._config
        return links.VxlanLink(
            self.name, config.vni, self._under, self._local,
            port=config.port, gbp=config.gbp, learning=config.learning, mtu=self.mtu, mac=self.mac,
        )  # fmt: skip

    def _establish(self, device: DesiredDevice) -> None:
        try:
            own_devices.establish(device)
        except Fatal as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
                raise self._port_taken() from error
            raise

    def _port_taken(self) -> Fatal:
        port = self._config.port or VXLAN_PORT
        return Fatal(
            f"{self.name} needs the UDP port {port}, which is taken: `ss -lunp 'sport = :{port}'` shows by "
            "whom; end that, or set another Backend.Port for all machines",
            code=Exit.TAKEN,
        )

    def _configure_tx_checksum(self) -> None:
        """Turn the offload on or off, or begin to find out. It is off already where others found out."""
        self.end_examination()
        try:
            if self._tx_checksum != "auto":
                offload.set_tx_checksum(self.name, self._tx_checksum == "on")
            elif offload.tx_checksum(self.name):
                self._examiner = Examiner(
                    self.name, self._address, partial(offload.set_tx_checksum, self.name)
                )
            else:
                text = (
                    "Transmit checksum offload of %s is off and stays so; -vxlan-tx-checksum=on turns it on"
                )
                logger.info(text, self.name)
        except OSError as error:
            logger.warning("The transmit checksum offload of %s stays as it is: %s", self.name, error)


def _held(name: str) -> DeviceLock:
    """Raise `Fatal` where another flanneld has it: each would take away what the other makes."""
    try:
        hold = DeviceLock(name)
    except LockedByAnother as error:
        process = f"process {error.pid}" if error.pid else "in another container, perhaps"
        raise Fatal(
            f"{name} carries a network of another flanneld of this machine already ({process}): end that, or "
            "give this network its own Backend.VNI",
            code=Exit.TAKEN,
        ) from error
    except OSError as error:
        raise Fatal(
            f"Cannot lock {name} against other flannelds on this machine: {error.strerror}",
            code=Exit.KERNEL,
        ) from error
    if not hold.made:
        logger.warning("A user's program says that it holds %s; that is ignored", name)
    return hold
