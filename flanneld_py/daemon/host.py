"""This machine's side of things: its interface, its kernel, and a daemon for each network."""

import logging
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from flanneld_py import kernel
from flanneld_py.backend import Backend
from flanneld_py.backend.catalog import open_backend
from flanneld_py.backend.kind import NodeContext
from flanneld_py.config.model import NetworkConfig
from flanneld_py.daemon.network import NetworkDaemon
from flanneld_py.daemon.protected_addresses import AddressLookup, hosts
from flanneld_py.daemon.reservations import Reservations
from flanneld_py.errors import Exit, Fatal
from flanneld_py.firewall import Firewall
from flanneld_py.firewall.pod_sources import PodSources
from flanneld_py.firewall.resync import Resync
from flanneld_py.kernel import blackhole
from flanneld_py.kernel.desired import KernelNotice
from flanneld_py.kernel.diverting_routes import DivertingRoutes
from flanneld_py.kernel.entries import Slot
from flanneld_py.kernel.events import Listener
from flanneld_py.kernel.interfaces import glance, look
from flanneld_py.kernel.stale_removal import StaleRemoval
from flanneld_py.monitor.status import NetworkStatus, waiting_on
from flanneld_py.options import Options
from flanneld_py.registry.choose import location, open_registry
from flanneld_py.runtime import files
from flanneld_py.runtime.backoff import Backoff
from flanneld_py.runtime.clock import Time, now
from flanneld_py.subnet import Network, Subnet
from flanneld_py.underlay.follower import UnderlayFollower, families
from flanneld_py.underlay.interface import ANY, Families, Interface, public_addresses
from flanneld_py.underlay.waiting import selection_of, wait_for_interface

__all__ = ["Host"]

logger = logging.getLogger(__name__)


class Host:
    """What all networks of this machine share."""

    def __init__(self, options: Options, time: Time, statuses: Sequence[NetworkStatus]) -> None:
        """Look at the machine, starting with what waiting cannot improve. Raises `Fatal`, `Stopped`.

        `time` is that of all daemons: when it is stopping, so are they. The statuses say what we wait for.
        """
        self._options = options
        self._time = time
        kernel.require_net_admin()
        if not (options.iface or options.iface_regex or options.iface_can_reach):
            logger.info("Determining IP address of default interface")
        self._interface = self._find(ANY, statuses)
        self._subnets: dict[str, Subnet] | None = {} if options.ip_blackhole_route else None
        self._firewall = Firewall(
            ip_masq=options.ip_masq,
            random_fully=not options.ip_masq_fully_random_disable,
            forward_rules=options.iptables_forward_rules,
        )
        self._diverting = DivertingRoutes()
        self._resync = Resync(self._firewall.sync)
        self._addresses = AddressLookup(hosts(location(options).urls), time)
        self._reservations = Reservations()
        for network in options.networks or ("",):
            files.require_writable(self._subnet_file(network))

    def daemon(self, status: NetworkStatus, ready: Callable[[], None]) -> NetworkDaemon:
        """The daemon of the network that this is the status of. Raises `Fatal`."""
        network = status.name
        underlay = UnderlayFollower(self._options, self._time, look, glance)
        return NetworkDaemon(
            self._options,
            open_registry(self._options, network),
            open_backend=partial(self._open_backend, status, underlay),
            subnet_file=self._subnet_file(network),
            location=location(self._options, network),
            underlay=underlay,
            rules=_HostRules(
                self._firewall,
                self._resync,
                PodSources(check=self._options.pod_source_check),
                network,
                self._subnets,
                StaleRemoval(self._subnet_file(network)),
                self._diverting,
                underlay,
            ),
            ready=ready,
            time=self._time,
            status=status,
            needs=self._addresses.needs,
            listen=self._listen,
        )

    def _listen(self, tell: Callable[[KernelNotice], float]) -> None:
        """Until the process ends."""
        try:
            Listener(tell)
        except OSError as error:
            text = "Listening to the kernel: %s. Changes of links and routes are noticed a few seconds late"
            logger.warning(text, error.strerror or error)

    def _subnet_file(self, network: str) -> Path:
        options = self._options
        return Path(options.subnet_dir, f"{network}.env") if network else Path(options.subnet_file)

    def _open_backend(
        self, status: NetworkStatus, underlay: UnderlayFollower, network: NetworkConfig
    ) -> Backend:
        """With an interface that has an address of each family that the network has."""
        if (problem := network.uncarried) is not None:  # or we would wait for an interface in vain
            raise Fatal(str(problem), code=Exit.CONFIG)
        self._reservations.take(status.name, network)
        wanted, interface = families(network), self._interface
        if (wanted.ipv4 and interface.ipv4 is None) or (wanted.ipv6 and interface.ipv6 is None):
            interface = self._find(wanted, [status])
        attachment = underlay.begin(interface, network)
        node = NodeContext(
            attachment.interface,
            attachment.public,
            self._addresses.needs,
            announcements=location(self._options, status.name).announcements,
            alone=not self._options.networks,
        )
        return open_backend(network, self._options, node)

    def _find(self, families: Families, statuses: Sequence[NetworkStatus]) -> Interface:
        with waiting_on(statuses) as doing:
            interface = wait_for_interface(self._options, look, self._time, families, doing)
        public = public_addresses(interface, selection_of(self._options))
        logger.info("Using %s as external interface", interface.ipv4 or interface.ipv6)
        logger.info("Using %s as external endpoint", public)
        return interface


_blackholes = threading.Lock()
"""Held from when it is known which there should be until they exist."""


class _HostRules:
    """See `HostRules`: the rules of one network, its blackhole route, and nothing from earlier runs.

    Also sees to it that no route from an earlier run diverts our own subnet.
    """

    def __init__(
        self,
        firewall: Firewall,
        resync: Resync,
        pod_sources: PodSources,
        network: str,
        subnets: dict[str, Subnet] | None,
        stale: StaleRemoval,
        diverting: DivertingRoutes,
        underlay: UnderlayFollower,
    ) -> None:
        """`subnets` are those of all networks with a blackhole route; None without -ip-blackhole-route."""
        self._firewall = firewall
        self._resync = resync
        self._pod_sources = pod_sources
        self._network = network
        self._subnets = subnets
        self._stale = stale
        self._diverting = diverting
        self._underlay = underlay
        self._blackholes = Resync(self._keep_blackholes)
        self._backoff = Backoff()
        self._own = Subnet()

    def set(
        self, network: NetworkConfig, subnet: Subnet, wanted: Callable[[], Container[Slot]] = tuple
    ) -> None:
        """See `HostRules`."""
        self._firewall.set(network, subnet, self._network)
        self._pod_sources.set(network.overlay, subnet, self._underlay.index)
        self._own = subnet
        with suppress(OSError):  # `sync` logs it, and retries
            self._diverting.put_right(subnet, self._underlay.index)
        compared = network.overlay if network.backend.compares_entries else None
        self._stale.leave(network.overlay, compared, wanted)
        if self._subnets is not None:
            self._subnets[self._network] = subnet
        try:
            self._have_blackholes()
        except OSError as error:
            raise Fatal(
                f"Looking for blackhole routes: {error.strerror or error}", code=Exit.KERNEL
            ) from error

    def sync(self) -> int:
        """See `HostRules`. In threads of its own: the caller has a lease to renew."""
        self._stale.look()
        repaired = self._resync() + self.follow_pods()
        repaired += self._blackholes() if self._subnets else 0
        self._diverting.put_right(self._own, self._underlay.index)
        return repaired

    def follow_pods(self) -> int:
        """See `HostRules`. In a thread of its own, too."""
        return self._pod_sources.sync(self._underlay.index)

    def dropped(self) -> Mapping[str, int]:
        """See `HostRules`."""
        return self._pod_sources.dropped()

    def _have_blackholes(self) -> int:
        """One for each subnet, if wanted, and no former ones; returns how many things changed."""
        with _blackholes:
            # Another network's thread may add one in the meantime.
            wanted: list[Network] = [
                part for each in list((self._subnets or {}).values()) for part in each.networks
            ]
            return blackhole.keep(wanted, self._stale.spares)

    def _keep_blackholes(self) -> int:
        try:
            return self._have_blackholes()
        except (Fatal, OSError) as error:
            if self._backoff.worth_saying(str(error), now()):
                logger.error("%s. Retrying", error)  # noqa: TRY400
        return 0
