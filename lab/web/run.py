"""Serves the page until Ctrl-C."""

import errno
import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from lab import threads
from lab.cluster import Lab
from lab.errors import Unfit
from lab.naming import name_option
from lab.web.actions import Actions
from lab.web.feed import Feed
from lab.web.guard import Guard
from lab.web.look import Looker, first
from lab.web.server import Changing, application

__all__ = ["ADDRESS", "bound", "serve"]

ADDRESS = "127.0.0.1"
"""Never another one."""


def bound(port: int, lab: str) -> socket.socket:
    """A socket on a port of this machine alone; 0 takes a free one. Raises `LabError`."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            words = f"port {port} of {ADDRESS} is taken"
        else:
            words = f"port {port} of {ADDRESS} cannot be listened on: {error.strerror}"
        raise Unfit(words, hint=f"Take one that is free: lab serve{name_option(lab)} --port 0") from error
    return listener


def serve(
    find: Callable[[], Lab],
    listener: socket.socket,
    tell: Callable[[str], None],
    warn: Callable[[str], None],
    *,
    browse: bool,
) -> None:
    """Serve until a signal ends it, which is then raised as `KeyboardInterrupt`.

    `tell` is given the page's address, `warn` what else there is to say.
    """
    lab = find()
    guard = Guard(secrets.token_urlsafe(24), listener.getsockname()[1])
    changing = Changing()
    app = application(Feed(Looker(lab.name, find), first(lab)), Actions(find), guard, changing)
    config = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=0,  # pages listen for as long as they are open
    )
    address = f"http://{ADDRESS}:{guard.port}/#{guard.token}"
    tell(address)
    if browse:  # apart: one that runs in the terminal does not come back before its end
        threads.start(lambda: _browse(address, warn))
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        if changing.tasks:
            warn("a fault is just being started or ended, which is waited for; Ctrl-C ends that, too")
        changing.finish()


def _browse(address: str, warn: Callable[[str], None]) -> None:
    with suppress(webbrowser.Error, OSError):
        if webbrowser.open(address):
            return
    warn("no browser could be started: open the address by hand")
