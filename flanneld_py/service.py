"""The daemon as a service of this machine: signals, interface, etcd, kernel. The wiring, and nothing else."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import FrameType

from flanneld_py.options import Options

__all__ = ["run"]

logger = logging.getLogger(__name__)


class Stop(BaseException):
    """SIGTERM or SIGINT came. No Exception, so that nothing on the way out takes it for a failure."""


def run(options: Options) -> int:
    """Be flanneld until told to end. Raises `Fatal`."""
    try:
        logger.info("Installing signal handlers")
        with _stopped_by_signals():
            _serve(options)
    except Stop:
        logger.info("Exiting...")
    return 0


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Raise `Stop` in the main thread, wherever it is; gRPC's and queue's waits let it through."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        # A second signal ends the process at once.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise Stop

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    yield


def _serve(options: Options) -> None:
    # Here, so that signals are heeded from the start: importing these takes a while.
    from flanneld_py import files, firewall, kernel
    from flanneld_py.backend.udp import UdpBackend
    from flanneld_py.daemon import Daemon
    from flanneld_py.datapath.tun import require_tun
    from flanneld_py.registry.etcd import EtcdRegistry

    # What cannot get better by waiting comes first.
    kernel.require_net_admin()
    require_tun()
    if not options.iface:
        logger.info("Determining IP address of default interface")
    interface = kernel.external_interface(options.iface)
    public_ip = IPv4Address(options.public_ip) if options.public_ip else interface.address
    logger.info("Using %s as external interface", interface.address)
    logger.info("Using %s as external endpoint", public_ip)
    files.require_writable(Path(options.subnet_file))

    def set_filters(network: IPv4Network) -> None:
        if options.ip_masq:
            firewall.masquerade(network)
        firewall.accept_forwarded(network)

    daemon = Daemon(
        options,
        EtcdRegistry(options.etcd_endpoints, options.etcd_prefix),
        public_ip,
        open_backend=lambda network: UdpBackend(network, interface),
        set_filters=set_filters,
    )
    try:
        daemon.run()
    finally:
        daemon.close()
