"""A view that is drawn anew on the terminal until Ctrl-C."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import click

from lab import wait
from lab.errors import Unfit

__all__ = ["frame", "watch"]

INTERVAL = 1.0
"""Seconds from a view to the next look; longer where looks take longer."""

HOME, END_LINE, END_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
"""To the upper left corner; erase the rest of the line, and of the screen (ECMA-48: CUP, EL, ED)."""


def watch(look: Callable[[], str]) -> NoReturn:
    """Draw what a look answers, again and again, until Ctrl-C. Raises `Unfit` where there is no terminal."""
    if not sys.stdout.isatty():
        raise Unfit(
            "--watch draws on a terminal, and standard output is none",
            hint="Leave it out; programs ask with --json as often as they like.",
        )
    click.echo(f"{HOME}{END_SCREEN}", nl=False)
    while True:
        began = time.monotonic()
        title = f"{time.strftime('%H:%M:%S')}  Ctrl-C ends this"
        click.echo(frame(f"{title}\n\n{look()}", *shutil.get_terminal_size()), nl=False)
        wait.passing(max(INTERVAL, time.monotonic() - began))


def frame(text: str, columns: int, rows: int) -> str:
    """What draws the text over what the terminal shows: as much of it as there is room for."""
    lines = [line[:columns] for line in text.splitlines()]
    room = max(rows - 1, 1)  # the cursor has the last one
    if len(lines) > room:
        lines = [*lines[: room - 1], f"... {len(lines) - room + 1} more lines"[:columns]]
    return HOME + "".join(f"{line}{END_LINE}\n" for line in lines) + END_SCREEN
