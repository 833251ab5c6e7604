"""Doing something in several network namespaces of this machine at the same time."""

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

__all__ = ["in_each"]

T = TypeVar("T")

CLONE_NEWNET = 0x40000000  # linux/sched.h


def in_each(namespaces: Mapping[str, int], do: Callable[[str], T]) -> dict[str, T]:
    """Do it once in each, in a thread that is there; the results by the same names.

    `namespaces` has a process of each; 0 stands for our own. Raises what one of them has raised.
    """
    results: dict[str, T] = {}
    errors: list[BaseException] = []

    def run(name: str, pid: int) -> None:
        try:
            if pid:
                _enter(pid)
            results[name] = do(name)
        except BaseException as error:  # noqa: BLE001 - raised by who waits for us
            errors.append(error)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in namespaces.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
    return results


def _enter(pid: int) -> None:
    """Move the calling thread, and what it starts."""
    path = Path(f"/proc/{pid}/ns/net")
    if not path.exists():
        raise OSError(errno.ESRCH, f"the process {pid} has ended, and its network with it")
    with path.open() as there:
        if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"entering the network of process {pid}: {os.strerror(code)}")
