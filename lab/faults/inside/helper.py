"""A process that a state needs for as long as it is on: a transient unit of the machine's systemd.

systemd ends it, knows whether it runs, and keeps in the journal what it says.
"""

import json
import os
import socket

from lab.faults.inside.kinds import Failed, Given, run

__all__ = ["begin", "end", "notify_ready", "runs"]

PROGRAM = ("/usr/bin/python3", "-IS", "/usr/lib/overlay-lab/faults", "run")


def _unit(identifier: str, name: str) -> str:
    return f"lab-fault-{identifier}-{name}.service"


def begin(identifier: str, name: str, given: Given) -> None:
    """Start what `main.RUNNING` has under this name; it says READY=1 when it has done its first work."""
    unit = _unit(identifier, name)
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", "--service-type=notify"]
    try:
        run([*argv, "--", *PROGRAM, name, json.dumps(given)])
    except Failed as error:
        run(["journalctl", "--sync"])
        said = run(["journalctl", "--quiet", "--output=cat", "--lines=1", f"_SYSTEMD_UNIT={unit}"])
        raise Failed(said.strip() or str(error)) from None


def runs(identifier: str, name: str) -> bool:
    """Whether it runs."""
    return run(["systemctl", "is-active", _unit(identifier, name)], check=False).strip() == "active"


def end(identifier: str, name: str) -> None:
    """End it, if it runs."""
    run(["systemctl", "stop", _unit(identifier, name)], check=False)


def notify_ready() -> None:
    """Tell systemd READY=1, as sd_notify(3) does."""
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        told.send(b"READY=1")
