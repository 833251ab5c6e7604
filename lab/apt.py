"""Installing Debian packages, as root, also while another apt is at it.

Before there is a virtual environment: `python3 -m lab.apt PACKAGE...`. So this needs Python's library alone.
"""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial

from lab import programs, wait
from lab.deadlines import APT_LOCK, DOWNLOAD
from lab.errors import LabError, Unfit

__all__ = ["install"]

# With -oDPkg::Lock::Timeout apt would wait by itself, but silently, and for dpkg's locks alone.
LOCKED = "Could not get lock"


def install(*packages: str, busy: Callable[[str], None], interval: float = 1) -> None:
    """Install packages that Debian names so, with nothing that they only recommend.

    While another process has apt's lock `busy` is told which one, once, and it is tried again after
    `interval` seconds. Raises `Unfit` with the end of apt's output.
    """
    told = False

    def run(argv: Sequence[str]) -> wait.NotYet | None:
        nonlocal told
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        done = programs.run(argv, within=DOWNLOAD.seconds, environment=environment)
        if done.returncode == 0:
            return None
        lines = (done.stdout + done.stderr).strip().splitlines()
        holder = next((line for line in lines if LOCKED in line), None)
        if holder is None:
            tail = "\n".join(lines[-8:])
            raise Unfit(
                f"exit status {done.returncode} from: {shlex.join(argv)}\n{tail}",
                hint="Run that as root until it succeeds, and then this again.",
            )
        if not told:
            busy(f"waiting for another apt: {holder.removeprefix('E: ')}")
            told = True
        return wait.NotYet(holder)

    for argv in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *packages]):
        wait.until(partial(run, argv), what="apt's lock", timeout=APT_LOCK.seconds, interval=interval)


def main() -> int:
    """Install what the arguments name."""
    try:
        install(*sys.argv[1:], busy=lambda text: print(f"setup: {text}", file=sys.stderr))  # noqa: T201
    except LabError as error:
        print(*filter(None, (error.message, error.hint)), sep="\n", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
