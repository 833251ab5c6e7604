"""`lab serve`, and a browser for its page: Debian's chromium, or Chrome as GitHub's machines have it.

Playwright has a lock of its own, locks/browser.txt, as its wheel has 165 MB; `make browser-test` installs it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["browser", "missing", "serving"]

BROWSERS = (Path("/usr/bin/chromium"), Path("/usr/bin/google-chrome"))


def missing() -> str:
    """What there has to be for `browser` and is not, with what brings it; empty where nothing is missing."""
    if find_spec("playwright") is None:
        return "playwright is not installed: make browser-test does that"
    if not any(path.exists() for path in BROWSERS):
        return f"there is no {' and no '.join(map(str, BROWSERS))}: apt-get install chromium"
    return ""


@contextmanager
def serving(lab: str) -> Iterator[str]:
    """The address of a server that ends by a signal, as by Ctrl-C."""
    argv = [sys.executable, "-m", "lab", "serve", "--port", "0", "--no-open", "--name", lab]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ}) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 130


@contextmanager
def browser() -> Iterator[Any]:
    """Playwright's browser, without a window."""
    api = import_module("playwright.sync_api")  # of which mypy knows only where it is installed
    found = next(path for path in BROWSERS if path.exists())
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(found), args=["--no-sandbox"])
        yield opened
        opened.close()
