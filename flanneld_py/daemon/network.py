"""The sequence: config -> lease -> backend -> subnet.env -> READY -> watch and renew."""

import logging
import random
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from flanneld_py.backend import Backend
from flanneld_py.backend.catalog import parse_config
from flanneld_py.config import ConfigError
from flanneld_py.config.model import NetworkConfig
from flanneld_py.daemon.claim import Claim, Lost, PeerView
from flanneld_py.daemon.event_queue import EventQueue
from flanneld_py.daemon.fencing import Fence
from flanneld_py.daemon.lease_loop import LeaseLoop
from flanneld_py.daemon.reconcile import HostRules, NoHostRules, Reconciler
from flanneld_py.errors import Exit, Fatal, Stopped
from flanneld_py.kernel.desired import KernelNotice
from flanneld_py.lease.allocate import OutOfSubnets, Pick, picker
from flanneld_py.lease.subnet_file import SubnetFile, previous_subnet
from flanneld_py.lease.validation import LeaseRules, ProtectedAddresses, too_wide
from flanneld_py.monitor.status import NetworkStatus, listed
from flanneld_py.options import Options
from flanneld_py.registry import LeaseRequest, Registry, RegistryUnavailable, Snapshot
from flanneld_py.registry.location import Location
from flanneld_py.runtime.backoff import Backoff
from flanneld_py.runtime.clock import Time
from flanneld_py.subnet import Subnet
from flanneld_py.underlay.protocol import Underlay

__all__ = ["NetworkDaemon"]

logger = logging.getLogger(__name__)

LONG = 2.0
"""If more seconds pass from requesting a lease to using it, we check first that it is still ours."""


class NetworkDaemon:
    """One network of one machine. Its surroundings are arguments, so that tests need neither etcd nor root.

    `location` is where the registry keeps the network's configuration; `ready` is called when subnet.env is
    written. `needs` answers, at once, which addresses this machine has and needs; `listen` calls what it is
    given with what the kernel reports.
    """

    def __init__(
        self,
        options: Options,
        registry: Registry,
        *,
        open_backend: Callable[[NetworkConfig], Backend],
        subnet_file: Path,
        location: Location,
        rules: HostRules | None = None,
        underlay: Underlay | None = None,
        ready: Callable[[], None] = lambda: None,
        time: Time | None = None,
        randrange: Callable[[int], int] = random.randrange,
        status: NetworkStatus | None = None,
        needs: Callable[[], ProtectedAddresses] = ProtectedAddresses,
        listen: Callable[[Callable[[KernelNotice], float]], None] = lambda _: None,
    ) -> None:
        self._options = options
        self._registry = registry
        self._open_backend = open_backend
        self._subnet_file = subnet_file
        self._location = location
        self._advice = ""
        self._rules = rules or NoHostRules()
        self._underlay = underlay
        self._ready = ready
        self._time = time or Time()
        self._randrange = randrange
        self.status = status or NetworkStatus()
        self._needs = needs
        self._listen = listen
        self._event_queue = EventQueue(self._time.now)
        self._backend: Backend | None = None
        self._fence: Fence | None = None

    def run(self) -> None:
        """Run until `stop`: then it raises `Stopped`. Raises `Fatal` if it cannot go on."""
        text, network, backend = self._await_config()
        previous = previous_subnet(self._subnet_file)
        public = backend.attrs().public
        if backend.announcement():
            self._registry.follow_announcements(network.backend.type)
        view = PeerView(LeaseRules(network, public=public))
        kept = network.backend.routes_whole_network
        if warning := too_wide(LeaseRules(network, public=public, needs=self._needs()), kept):
            logger.warning("%s", warning)
        self.status.statistics = lambda: backend.statistics().with_dropped(self._rules.dropped())
        self.status.oldest = self._event_queue.oldest
        self.status.peers = lambda: listed(view.peers)
        fence = self._fence = Fence(backend, self._time, self.status)
        pick = picker(self._options.subnet_allocation, public, self._randrange)
        file = SubnetFile(self._subnet_file, network.overlay, ip_masq=self._options.ip_masq)
        reconciler = Reconciler(
            backend, self._rules, file, self._time, self.status,
            resync=self._options.iptables_resync,
            underlay=self._underlay,
            wake=self._event_queue.wake,
        )  # fmt: skip
        self._listen(reconciler.hear)
        lease_loop = LeaseLoop(
            self._registry, backend, reconciler, view, self._time, self._event_queue, self.status,
            config=(text, network),
            renew_margin=self._options.subnet_lease_renew_margin,
            needs=self._needs,
        )  # fmt: skip
        while True:
            claim, snapshot = self._acquire(network, backend, previous, pick, fence)
            reconciler.await_interface()
            backend.claim(claim.subnet)
            self._rules.set(network, claim.subnet, backend.wanted)
            held = self._looked_at_again(claim, snapshot)
            if isinstance(held, Lost):
                previous = claim.subnet
                logger.error("Lease of %s lost before it was used: %s", previous, held.reason)
                continue
            claim, snapshot = held
            # Only once the others can be reached may anybody rely on us.
            lease_loop.begin(claim, snapshot)
            fence.lift()
            self._announce(file, backend, claim.subnet, previous)
            reason = lease_loop.keep()
            previous, self.status.subnet = lease_loop.claim.subnet, None
            # Fenced before anything else, however long the rest takes.
            fence.shut(previous)
            self.status.lost += 1
            logger.error(
                "Lease of %s lost: %s. Nothing is forwarded until a lease is held again", previous, reason
            )

    def stop(self) -> None:
        """Have `run` end, soon. For any thread."""
        self._time.stopping.set()
        self._event_queue.wake()
        self._registry.close()

    def close(self) -> None:
        """Remove what `run` made, once it has ended."""
        with ExitStack() as stack:
            if self._backend is not None:
                stack.callback(self._backend.close)
            if self._fence is not None:
                stack.callback(self._fence.close)

    # Until there is a lease

    def _await_config(self) -> tuple[bytes, NetworkConfig, Backend]:
        """A usable network configuration, however long that takes, and its backend.

        An unusable one is logged with its key and the fix, and tried again as soon as it changes, or at
        growing intervals, since the obstacle may be on this machine.
        """
        backoff = Backoff()
        key = f"{self._location.keys}/config"
        waiting = f"waiting for the network configuration, {key}"
        self.status.doing = waiting
        unusable: bytes | None = None
        while True:
            try:
                text = self._registry.config()
            except RegistryUnavailable as error:
                self._complain(backoff, f"Failed to retrieve network config: {error.trouble}", str(error))
                text = None
            else:
                self._heard()
                if text is None:
                    self.status.doing = waiting
                    self._complain_of_absence(backoff, key)
            if text is not None:
                if text != unusable:
                    unusable, backoff = text, Backoff()
                if backoff.worth_saying("try", self._time.now()):
                    try:
                        return text, *self._open(text)
                    except (ConfigError, Fatal) as error:
                        if isinstance(error, Fatal) and error.code != Exit.CONFIG:
                            raise
                        reason = f"Bad network config in {key}: {error}"
                    self.status.doing = f"waiting for another network configuration: {reason}"
                    logger.error("%s. Waiting until it is fixed", reason)
            self._rest(self._time.spread(backoff.delay()))

    def _open(self, text: bytes) -> tuple[NetworkConfig, Backend]:
        """The network and backend of this configuration. Raises `ConfigError`, and `Fatal`."""
        network = parse_config(text)
        self._registry.require(network)
        self._backend = self._open_backend(network)
        self.status.backend = network.backend.type
        self.status.mtu = self._backend.mtu
        return network, self._backend

    def _complain_of_absence(self, backoff: Backoff, key: str) -> None:
        """Log, if it is time to, that there is no configuration, and look where else it may be."""
        absent = f"Failed to retrieve network config: {self._location.absent.format(key)}"
        worth_saying = backoff.worth_saying(absent, self._time.now())
        if worth_saying:
            self._advice = self._location.advice()
        words = f"{absent}: {self._advice}" if self._advice else absent
        self.status.trouble = words
        if worth_saying:
            logger.error("%s", words)

    def _acquire(
        self, network: NetworkConfig, backend: Backend, previous: Subnet | None, pick: Pick, fence: Fence
    ) -> tuple[Claim, Snapshot]:
        """Acquire a lease, however long that takes; also what was known when it was chosen."""
        backoff = Backoff()
        self.status.doing = "acquiring a lease"
        for pool in (network.ipv4, network.ipv6):
            if pool is not None:
                first, last = pool.subnet_min.network_address, pool.subnet_max.network_address
                logger.info("Picking subnet in range %s ... %s", first, last)
        while True:
            try:
                asked_at = self._time.now()
                known = self._registry.snapshot()
                public = backend.attrs().public
                ours = [item for item in known.leases if item.lease.attrs.public.is_same_machine(public)]
                if ours:
                    backend.recall(min(ours, key=lambda item: item.created).lease.attrs)
                request = LeaseRequest(network, backend.attrs(), previous, pick)
                held = self._registry.acquire(known, request)
            except RegistryUnavailable as error:
                self._complain(backoff, f"Failed to acquire subnet: {error.trouble}", str(error))
            except OutOfSubnets as error:
                self._heard()
                self._complain(backoff, f"Failed to acquire subnet: {error}")
            else:
                self._heard()
                if held is not None:
                    logger.info("Subnet lease acquired: %s", held.lease.subnet)
                    self.status.acquired += 1
                    return Claim(held, asked_at), known
                continue  # somebody was quicker: look again at once
            self._rest(self._time.spread(backoff.delay()))
            fence.look()

    def _looked_at_again(self, claim: Claim, snapshot: Snapshot) -> tuple[Claim, Snapshot] | Lost:
        """The lease as it is by now, if it took long until it can be used."""
        if self._time.now() - claim.asked_at < LONG:
            return claim, snapshot
        try:
            snapshot = self._registry.snapshot()
        except RegistryUnavailable as error:
            return Lost(f"checking whether it is still ours: {error}")
        if self._time.now() >= claim.expires_at:  # on a suspended machine, for instance
            return Lost("it could not be renewed in time")
        now = claim.after_list(snapshot)
        return now if isinstance(now, Lost) else (now, snapshot)

    def _announce(self, file: SubnetFile, backend: Backend, subnet: Subnet, previous: Subnet | None) -> None:
        """Write subnet.env, then report that we are ready."""
        file.write(subnet, backend.mtu)
        if previous is not None and previous != subnet:
            text = "The subnet changed from %s to %s: restart what uses it, such as docker"
            logger.warning(text, previous, subnet)
        self.status.doing = ""
        self._ready()

    def _heard(self) -> None:
        self.status.trouble = ""
        self.status.heard_at = self._time.now()

    def _rest(self, seconds: float) -> None:
        self._time.rest(seconds)
        if self._time.stopping.is_set():
            raise Stopped

    def _complain(self, backoff: Backoff, what: str, why: str = "") -> None:
        """Log a failure, if it is time to; `why` may differ each time."""
        words = f"{what}: {why}" if why else what
        self.status.trouble = words
        if backoff.worth_saying(what, self._time.now()):
            logger.error("%s", words)
