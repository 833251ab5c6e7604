"""Notifying the service manager (sd_notify(3))."""

import logging
import os
import socket

__all__ = ["notify"]

logger = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Send `READY=1` or another state to $NOTIFY_SOCKET, if the service manager set it.

    A leading @ means an abstract socket (unix(7)). A manager that does not listen is not a reason to end.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    path = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(path)
            sender.sendall(state.encode())
    except OSError as error:
        logger.warning("Notifying the service manager of %s at %s: %s", state, address, error.strerror)
