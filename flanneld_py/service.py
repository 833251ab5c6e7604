"""The daemon as a service of this machine: signals, interface, etcd, kernel. The wiring, and nothing else."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from types import FrameType

from flanneld_py import kernel
from flanneld_py.backend.udp import UdpBackend
from flanneld_py.daemon import Daemon
from flanneld_py.options import Options
from flanneld_py.registry.etcd import EtcdRegistry

__all__ = ["run"]

logger = logging.getLogger(__name__)


class Stop(Exception):
    """SIGTERM or SIGINT came."""


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
    # What cannot get better by waiting comes first.
    kernel.require_net_admin()
    if not options.iface:
        logger.info("Determining IP address of default interface")
    interface = kernel.external_interface(options.iface)
    public_ip = IPv4Address(options.public_ip) if options.public_ip else interface.address
    logger.info("Using %s as external interface", interface.address)
    logger.info("Using %s as external endpoint", public_ip)
    registry = EtcdRegistry(options.etcd_endpoints, options.etcd_prefix)
    daemon = Daemon(options, registry, public_ip, open_backend=lambda network: UdpBackend(network, interface))
    try:
        daemon.run()
    finally:
        daemon.close()
