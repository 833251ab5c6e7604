"""Where a pod is: a process in its network namespace, which is another one after each start."""

import os
import select
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["follow"]

INSPECT = ("docker", "inspect", "--type", "container", "--format", "{{.State.Pid}}", "--")

EVERY = 0.5
"""Seconds between two looks for a pod that does not run."""

PATIENCE = 10.0
"""Seconds for Docker to answer."""

NEVER = threading.Event()


def follow(container: str, tell: Callable[[int], None]) -> None:
    """Tell of a process in a container's network, again after each start, and of 0 when there is none."""

    def forever() -> None:
        pid = _find(container)
        tell(pid)
        while True:
            if pid:
                _wait(pid)
                tell(0)
            NEVER.wait(EVERY)
            if pid := _find(container):
                tell(pid)

    threading.Thread(target=forever, daemon=True).start()


def _find(container: str) -> int:
    """Its first process; 0 if it does not run, or if Docker does not say."""
    with suppress(subprocess.TimeoutExpired):
        asked = [*INSPECT, container]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE, check=False)
        return int(told.stdout.strip() or 0) if told.returncode == 0 else 0
    return 0


def _wait(pid: int) -> None:
    """Until that process has ended."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        waiting.poll()
        os.close(descriptor)
