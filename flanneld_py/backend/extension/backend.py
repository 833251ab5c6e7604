"""The extension backend: the user's own commands do the work (flannel's backend/extension).

Those for peers run one after another in a thread of their own, so that none can hold up the lease.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence

from flanneld_py.backend.extension import commands
from flanneld_py.backend.extension.config import Extension
from flanneld_py.backend.extension.process import run
from flanneld_py.backend.kind import NodeContext
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel.desired import DesiredDevice
from flanneld_py.kernel.entries import Entry, Slot
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, PeerEvent
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.runtime import clock, shutdown
from flanneld_py.runtime.log_sampling import LogSample
from flanneld_py.runtime.once import Once
from flanneld_py.subnet import Addresses, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["ExtensionBackend"]

logger = logging.getLogger(__name__)

LONGEST = 60.0
"""Seconds that a command may take; then it is killed with all that it started."""

NAMED = 3
"""Subnets that a message names."""

LOOK = 0.05
"""Seconds between two looks at whether the commands' thread is there still."""


class ExtensionBackend:
    """See `backend.Backend`."""

    def __init__(
        self,
        network: NetworkConfig,
        config: Extension,
        node: NodeContext,
        *,
        longest: float = LONGEST,
    ) -> None:
        """Run PreStartupCommand: what it prints is our lease's BackendData. Raises `Fatal`."""
        self._stand(node.interface, node.public)
        self._overlay = network.overlay
        self._config = config
        self._longest = longest
        self._peers: dict[Subnet, Lease] = {}
        self._left: dict[Subnet, Lease] = {}  # whose SubnetRemoveCommand has failed when the lease was lost
        self._subnet = Subnet()
        self._ignored = Once()
        self._log_sample = LogSample()
        self._end = threading.Lock()  # held by who ends it
        self._ended = False
        self._beginning = threading.Lock()  # held while a command runs in the caller's thread
        printed = self._begin("PreStartupCommand", config.pre_startup_command, {})
        self._data = printed if config.pre_startup_command else None
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closing = False
        self._worker = threading.Thread(target=self._run, name="extension", daemon=True)
        self._worker.start()
        shutdown.register(self.close)

    def attrs(self) -> LeaseAttrs:
        """See `Backend`."""
        return LeaseAttrs(self._public, Extension.type, self._data)

    def recall(self, said: LeaseAttrs) -> None:
        """See `Backend`. All that it says can be said anew."""

    def announcement(self) -> bytes:
        """See `Backend`."""
        return b""

    def follow(self, interface: Interface, public: Addresses) -> None:
        """See `Backend`. PostStartupCommand is run again then, PreStartupCommand is not."""
        self._stand(interface, public)

    def _stand(self, interface: Interface, public: Addresses) -> None:
        self.mtu = interface.mtu
        self._public = public
        named = {"PUBLIC_IP": public.ipv4, "PUBLIC_IPV6": public.ipv6}
        self._named = {name: str(address) for name, address in named.items() if address}

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`. PostStartupCommand; a failure of it is fatal, as with flannel."""
        self._subnet = subnet
        self._begin("PostStartupCommand", self._config.post_startup_command, self._own())

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:  # noqa: ARG002
        """See `Backend`. SubnetRemoveCommand for each peer that is none any more, then SubnetAddCommand."""
        left, self._left = self._left, {}
        for subnet in [subnet for subnet in self._peers if subnet not in peers]:
            left[subnet] = self._peers.pop(subnet)
        for subnet, lease in left.items():
            if subnet not in peers:
                self._remove(lease)
        for subnet, lease in peers.items():
            if self._peers.get(subnet) != lease:
                self._add(lease)

    def change(self, events: Sequence[PeerEvent]) -> None:
        """See `Backend`."""
        for event in events:
            if isinstance(event, PeerAdded):
                self._add(event.lease)
            elif (known := self._peers.pop(event.lease.subnet, None)) is not None:
                self._remove(known)

    def extend(self, until: float) -> None:
        """See `Backend`. Commands know of no deadline."""

    def release(self) -> None:
        """See `Backend`. SubnetRemoveCommand for every peer, which is waited for; again, where it fails."""
        asked = {**self._left, **self._peers}
        self._peers.clear()
        left: dict[Subnet, Lease] = {}
        self._left = left
        for lease in asked.values():
            self._remove(lease, left)
        self._wait()
        if left:
            raise OSError(f"SubnetRemoveCommand has failed for {', '.join(map(str, [*left][:NAMED]))}")

    def owned(self) -> Sequence[DesiredDevice]:
        """See `Backend`."""
        return ()

    def wanted(self) -> Mapping[Slot, Entry]:
        """See `Backend`."""
        return {}

    def broken(self) -> str:
        """See `Backend`."""
        return ""

    def repair(self) -> int:
        """See `Backend`. What the commands made only they know."""
        return 0

    def statistics(self) -> Statistics:
        """See `Backend`."""
        return Statistics()

    def close(self) -> None:
        """See `Backend`. ShutdownCommand, which flannel documents and does not run: the last of all.

        What is still to be run has the time of one command for that; the rest is not run any more. For any
        thread, and once: whoever comes second waits until it is done.
        """
        with self._end:
            if not self._ended:
                self._ended = True
                self._finish()
        shutdown.forget(self.close)

    def _finish(self) -> None:
        self._work.put(None)
        self._worker.join(self._longest)
        self._closing = True
        self._worker.join(self._longest)  # for the one that is under way
        with self._beginning:  # which takes no longer either
            if self._config.shutdown_command and self._subnet.networks:
                self._attempt("ShutdownCommand", self._config.shutdown_command, self._own(), "")

    def _own(self) -> dict[str, str]:
        return commands.of_node(self._overlay, self._subnet, self._named)

    def _add(self, lease: Lease) -> None:
        if lease.attrs.backend_type != Extension.type:
            self._ignore(lease)
            return
        self._peers[lease.subnet] = lease
        self._later("SubnetAddCommand", self._config.subnet_add_command, lease)

    def _remove(self, lease: Lease, left: dict[Subnet, Lease] | None = None) -> None:
        """A lease for which the command fails is put into `left`."""
        self._later("SubnetRemoveCommand", self._config.subnet_remove_command, lease, left)

    def _ignore(self, lease: Lease) -> None:
        if self._ignored.is_new(str(lease.subnet)):
            text = f"Ignoring non-extension subnet {lease.subnet}: type={lease.attrs.backend_type}"
            if told := self._log_sample.tell(text, clock.now()):
                logger.warning("%s", told)

    def _later(
        self, name: str, command: str, lease: Lease, failed: dict[Subnet, Lease] | None = None
    ) -> None:
        if not command:
            return
        try:
            given = commands.given(lease)
        except ValueError as error:
            logger.warning("%s is not run: %s", name, error)
            return

        def task() -> None:
            if not self._attempt(name, command, commands.of_peer(lease), given) and failed is not None:
                failed[lease.subnet] = lease

        self._work.put(task)

    def _begin(self, name: str, command: str, variables: Mapping[str, str]) -> str:
        """Run a command that we cannot do without; its output."""
        if not command:
            return ""
        try:
            with self._beginning:
                if self._ended:
                    return ""
                output = self._execute(command, variables, "")
        except (OSError, ValueError) as error:
            raise Fatal(f"Running {name}: {error}: correct it", code=Exit.CONFIG) from error
        logger.info("Ran %s: %s", name, output)
        return output

    def _attempt(self, name: str, command: str, variables: Mapping[str, str], given: str) -> bool:
        """Run it; whether that went well."""
        try:
            output = self._execute(command, variables, given)
        except (OSError, ValueError) as error:
            logger.error("Running %s: %s", name, error)  # noqa: TRY400
            return False
        logger.info("Ran %s: %s", name, output)
        return True

    def _execute(self, command: str, variables: Mapping[str, str], given: str) -> str:
        """See `process.run`."""
        return run(commands.words(command, variables, os.environ), variables, given, self._longest)

    def _run(self) -> None:
        for task in iter(self._work.get, None):
            if not self._closing:
                task()

    def _wait(self) -> None:
        """Until all that was asked for so far is done, or is not done any more."""
        done = threading.Event()
        self._work.put(done.set)
        while not done.wait(LOOK) and self._worker.is_alive():
            pass
