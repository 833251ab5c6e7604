"""Telling the service manager how we are (sd_notify(3))."""

import os
import socket

__all__ = ["notify"]


def notify(state: str) -> None:
    """Send `READY=1` or another state to $NOTIFY_SOCKET, if a service manager gave us one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        sender.sendall(state.encode())
