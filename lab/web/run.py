"""Serves the page until Ctrl-C."""

import asyncio
import errno
import html
import secrets
import socket
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import uvicorn

from lab import threads
from lab.cluster import Lab
from lab.errors import Unfit
from lab.naming import name_option
from lab.signals import shielded
from lab.web.actions import Actions
from lab.web.feed import Feed
from lab.web.guard import Guard
from lab.web.look import Looker, first
from lab.web.server import Changing, application

__all__ = ["ADDRESS", "bound", "serve"]

ADDRESS = "127.0.0.1"
"""Never another one."""

BY_HAND = "no browser could be started: open the address by hand"


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
    config.load()  # now, for the first to ask is answered at once
    address = f"http://{ADDRESS}:{guard.port}/#{guard.token}"
    tell(address)
    with ExitStack() as ends:
        if browse:
            try:
                way = ends.enter_context(_way_to(address))
            except OSError as error:
                warn(f"{BY_HAND} ({error})")
            else:  # apart: one that runs in the terminal does not come back before its end
                threads.start(lambda: _browse(way, warn))
        try:
            _run(uvicorn.Server(config), listener)
        finally:
            if changing.tasks:
                warn("a fault is just being started or ended, which is waited for; Ctrl-C ends that, too")
            changing.finish()


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    """As `Server.run`, but a signal that comes while the event loop is being made ends a whole one."""
    runner = asyncio.Runner()
    try:
        with shielded():
            runner.get_loop()
        runner.run(server.serve(sockets=[listener]))
    finally:
        runner.close()


@contextmanager
def _way_to(address: str) -> Iterator[str]:
    """The address of a file that leads a browser there, which this user alone can read.

    A browser is started with an address among its arguments, and these every user of this machine can read.
    """
    said = html.escape(address)
    with tempfile.TemporaryDirectory(prefix="lab-serve-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "open.html"
        path.touch(mode=0o600)
        path.write_text(
            '<!DOCTYPE html>\n<meta charset="utf-8">\n<meta name="referrer" content="no-referrer">\n'
            f'<meta http-equiv="refresh" content="0; url={said}">\n'
            f'<title>lab serve</title>\n<a href="{said}">To the lab</a>\n',
            encoding="utf-8",
        )
        yield path.as_uri()


def _browse(way: str, warn: Callable[[str], None]) -> None:
    with suppress(webbrowser.Error, OSError):
        if webbrowser.open(way):
            return
    warn(BY_HAND)
