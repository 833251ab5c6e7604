"""The verb that shows a lab in a browser: serve."""

import os
import sys
from functools import partial
from importlib.util import find_spec

import click

from lab.cli.common import lab_name
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import Unfit

__all__ = ["COMMANDS", "NEEDED", "PORT", "require_server"]

PORT = 7080

NEEDED = ("starlette", "uvicorn")
"""What the extra `serve` brings."""


def require_server() -> None:
    """Raise `Unfit` if what only the extra `serve` brings is not installed."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise Unfit(
            f"lab serve needs {' and '.join(missing)}, not installed here: pip install 'overlay-lab[serve]'; "
            "in a clone: make setup"
        )


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="The port, of 127.0.0.1 alone; 0 takes a free one.",
)
@click.option(
    "--open/--no-open", "open_", default=None, help="Start a browser  [default: on a desktop's terminal]"
)
@lab_name
def serve(port: int, open_: bool | None, name: str) -> int:
    """Show a lab in a browser, live: links, leases, faults, traces, logs.

    Serves one page on this machine, until Ctrl-C. Its address has a token, without which nobody is served:
    who has the address can do to the lab what `lab fault` does.
    """
    require_server()
    from lab.web.run import bound
    from lab.web.run import serve as run

    engine = Engine.connect()
    Lab.get(engine, name)
    with bound(port, name) as listener:
        browse = _desktop() if open_ is None else open_
        warn = partial(click.echo, err=True)
        run(lambda: Lab.get(engine, name), listener, click.echo, warn, browse=browse)
    return 0


def _desktop() -> bool:
    """Whether somebody sits at a screen of this machine."""

    return sys.stdout.isatty() and bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


COMMANDS = (serve,)
