"""The daemon as a service of this machine: signals, interface, etcd, kernel. Nothing but the wiring."""

import logging
import os
import signal
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flanneld_py.options import Options
from flanneld_py.runtime import shutdown
from flanneld_py.runtime.clock import Time
from flanneld_py.runtime.malloc import share_one_arena

if TYPE_CHECKING:
    from flanneld_py.daemon.network import NetworkDaemon
    from flanneld_py.monitor.http import Monitor
    from flanneld_py.monitor.status import NetworkStatus
    from flanneld_py.server import Server

__all__ = ["run"]

logger = logging.getLogger(__name__)

GRACE = 0.5
"""Seconds that work under way may take to end after a signal; `shutdown` has what must be done."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)

ENDED = b"\0"
"""In the pipe of `run`, in which a signal's number is a byte."""


def run(options: Options) -> int:
    """Be flanneld until a signal ends it. Raises `Fatal`.

    The work is done in another thread, because an exception from a signal handler can surface where Python
    ignores it (in `__del__`, for instance). This thread only listens, and on a pipe: the kernel may deliver a
    signal to any thread, especially while a program is started, but Python runs handlers in this thread only,
    and nothing but a descriptor wakes it then.
    """
    share_one_arena()
    reader, writer = os.pipe2(os.O_CLOEXEC)  # open until the process ends: the worker may outlive this call
    os.set_blocking(writer, False)
    logger.info("Installing signal handlers")
    signal.set_wakeup_fd(writer)
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: None)  # the byte in the pipe is what counts
    service = _Service(options)
    ended: list[BaseException] = []

    def work() -> None:
        try:
            service.run()
        except BaseException as error:  # noqa: BLE001 (raised again, below)
            ended.append(error)
            os.write(writer, ENDED)

    worker = threading.Thread(target=work, name="flanneld", daemon=True)
    worker.start()
    if os.read(reader, 1) == ENDED:
        raise ended[0]
    logger.info("Exiting...")
    for number in SIGNALS:  # a second one ends the process at once
        signal.signal(number, signal.SIG_DFL)
    service.stop()
    worker.join(GRACE)
    shutdown.finish()
    return 0


class _Service:
    """A daemon for each network, and their monitor."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._time = Time()
        self._daemons: list[NetworkDaemon | Server] = []

    def run(self) -> None:
        """Do the work. Raises `Fatal`, or `Stopped` after `stop`."""
        if self._options.listen:
            self._serve()
            return
        # Here, so that signals work from the start: importing these takes a while.
        from flanneld_py.daemon import supervisor
        from flanneld_py.daemon.host import Host
        from flanneld_py.monitor.status import NetworkStatus
        from flanneld_py.runtime.sd_notify import notify

        statuses = [NetworkStatus(name) for name in self._options.networks or ("",)]
        monitor = self._monitor(statuses)
        try:
            host = Host(self._options, self._time, statuses)
            ready = supervisor.Countdown(len(statuses), lambda: notify("READY=1"))
            for number, status in enumerate(statuses):
                self._daemons.append(host.daemon(status, ready.member(number)))
            # `stop` may have been called before they existed.
            if not self._time.stopping.is_set():
                supervisor.run(self._daemons, [status.name for status in statuses])
        finally:
            if monitor is not None:
                monitor.close()

    def _serve(self) -> None:
        """Be a server instead. It is ready when it answers; without its registry it is degraded."""
        from flanneld_py.daemon import supervisor
        from flanneld_py.runtime.sd_notify import notify
        from flanneld_py.server import open_server

        logger.info("running as server")
        server = open_server(self._options, ready=lambda: notify("READY=1"))
        self._daemons.append(server)
        monitor = self._monitor(server.statuses)
        try:
            if not self._time.stopping.is_set():
                supervisor.run([server])
        finally:
            if monitor is not None:
                monitor.close()

    def stop(self) -> None:
        """Have `run` end, even one that is still setting up; for another thread."""
        self._time.stopping.set()
        for daemon in self._daemons:
            daemon.stop()

    def _monitor(self, statuses: Sequence["NetworkStatus"]) -> "Monitor | None":
        if self._options.healthz_port == 0:
            return None
        from flanneld_py.monitor.http import Monitor

        return Monitor(self._options.healthz_ip, self._options.healthz_port, statuses)
