"""The daemon as a service of this machine: signals, interface, etcd, kernel. The wiring, and nothing else."""

import logging
import queue
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from flanneld_py.clock import Time
from flanneld_py.config.model import NetworkConfig
from flanneld_py.options import Options
from flanneld_py.subnet import Addresses, Subnet

if TYPE_CHECKING:
    from flanneld_py.backend import Backend
    from flanneld_py.daemon import Daemon
    from flanneld_py.interface import Interface

__all__ = ["run"]

logger = logging.getLogger(__name__)

GRACE = 0.5
"""Seconds that whatever is under way when a signal comes may take to end."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(options: Options) -> int:
    """Be flanneld until told to end. Raises `Fatal`.

    The work is done in another thread, because an exception that a signal handler raises can come up in
    places where Python ignores it (`__del__`, say). So the handler only tells, and this thread only listens.
    """
    happenings: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
    logger.info("Installing signal handlers")
    for number in SIGNALS:
        signal.signal(number, lambda number, _frame: happenings.put(number))
    service = _Service(options)

    def work() -> None:
        try:
            service.run()
        except BaseException as error:  # noqa: BLE001 (raised again, below)
            happenings.put(error)

    worker = threading.Thread(target=work, name="flanneld", daemon=True)
    worker.start()
    happened = happenings.get()
    if isinstance(happened, BaseException):
        raise happened
    logger.info("Exiting...")
    for number in SIGNALS:  # a second one ends the process at once
        signal.signal(number, signal.SIG_DFL)
    service.stop()
    worker.join(GRACE)
    return 0


class _Service:
    """The daemon and its surroundings."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._daemon: Daemon | None = None
        self._stopping = False

    def run(self) -> None:
        """Do the daemon's work. Raises `Fatal`, or `Stopped` after `stop`."""
        daemon = self._daemon = _make_daemon(self._options)
        if self._stopping:  # `stop` may have come too early to find the daemon
            return
        try:
            daemon.run()
        finally:
            daemon.close()

    def stop(self) -> None:
        """Have `run` end, also one that is still being set up; for another thread."""
        self._stopping = True
        if self._daemon is not None:
            self._daemon.stop()


def _make_daemon(options: Options) -> "Daemon":
    """Look at the machine, and wire everything together. Raises `Fatal`."""
    # Here, so that signals are heeded from the start: importing these takes a while.
    from flanneld_py import files, firewall, kernel
    from flanneld_py.backend.choose import open_backend
    from flanneld_py.daemon import Daemon
    from flanneld_py.external import wait_for_interface, wishes
    from flanneld_py.interface import Families, public_addresses
    from flanneld_py.kernel.interfaces import look
    from flanneld_py.notify import notify
    from flanneld_py.registry.choose import open_registry

    # What cannot get better by waiting comes first.
    kernel.require_net_admin()
    if not (options.iface or options.iface_regex or options.iface_can_reach):
        logger.info("Determining IP address of default interface")
    found = wait_for_interface(options, look, Time())
    _tell(found, public_addresses(found, wishes(options)))
    files.require_writable(Path(options.subnet_file))

    class Rules:
        def set(self, network: NetworkConfig, _subnet: Subnet) -> None:
            if network.ipv4 is not None:
                if options.ip_masq:
                    firewall.masquerade(network.ipv4.network)
                firewall.accept_forwarded(network.ipv4.network)

        def sync(self) -> int:
            return 0

    def open_it(network: NetworkConfig) -> "Backend":
        needs = Families(network.ipv4 is not None, network.ipv6 is not None)
        interface = found
        if (needs.ipv4 and found.ipv4 is None) or (needs.ipv6 and found.ipv6 is None):
            interface = wait_for_interface(options, look, Time(), needs)
            _tell(interface, public_addresses(interface, wishes(options)))
        public = public_addresses(interface, wishes(options))
        return open_backend(
            network,
            interface,
            Addresses(public.ipv4 if needs.ipv4 else None, public.ipv6 if needs.ipv6 else None),
            vxlan_tx_checksum=options.vxlan_tx_checksum,
        )

    return Daemon(
        options,
        open_registry(options),
        open_backend=open_it,
        subnet_file=Path(options.subnet_file),
        prefix=options.etcd_prefix,
        filters=Rules(),
        ready=lambda: notify("READY=1"),
    )


def _tell(interface: "Interface", public: Addresses) -> None:
    logger.info("Using %s as external interface", interface.ipv4 or interface.ipv6)
    logger.info("Using %s as external endpoint", public)
