"""Faults of ports: somebody else has the one that a daemon needs."""

import contextlib
import signal
import socket
from collections.abc import Sequence

from lab.faults.inside import helper
from lab.faults.inside.kinds import Failed, Given, Saved, Seen, State, run, state
from lab.faults.inside.units import active_with, start_again, start_anew, stop_unit

__all__ = ["hold"]

KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}


@state("port-busy")
class Busy(State):
    """A process holds a port; the unit that uses it was stopped for that, and is started again."""

    unique = True

    @property
    def changes(self) -> Sequence[str]:
        """The port."""
        return (f"{self.given['protocol']} port {self.given['port']}", self.given["unit"])

    def save(self) -> Saved:
        """What runs now."""
        return {"ran": active_with(self.given["unit"])}

    def start(self) -> None:
        """Take it while the unit does not run."""
        if self.saved["ran"]:
            stop_unit(self.given["unit"])
        helper.begin(self.given["id"], "port", self.given)
        if self.saved["ran"]:
            start_again(self.saved["ran"])

    def seen(self) -> Seen:
        """By the process that holds it."""
        runs = helper.runs(self.given["id"], "port")
        words = f"{self.given['protocol']} port {self.given['port']}"
        return Seen(runs, f"{words} is held by somebody else" if runs else f"nobody of ours holds {words}")

    def stop(self) -> None:
        """Let it go, and start what ran, also where it has given up."""
        helper.end(self.given["id"], "port")
        if self.saved["ran"]:
            start_anew(self.given["unit"], self.saved["ran"])


def hold(given: Given) -> int:
    """Hold a port of every address, until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with contextlib.ExitStack() as stack:
        for family, everywhere in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):  # noqa: S104
            mine = stack.enter_context(socket.socket(family, KINDS[given["protocol"]]))
            if family == socket.AF_INET6:
                mine.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                mine.bind((everywhere, given["port"]))
            except OSError as error:
                raise Failed(_holder(given, error)) from None
        helper.notify_ready()
        signal.sigwait({signal.SIGTERM})
    return 0


def _holder(given: Given, error: OSError) -> str:
    kind = "-u" if given["protocol"] == "udp" else "-t"
    lines = run(["ss", "-Hlnp", kind, f"sport = :{given['port']}"], check=False).splitlines()
    who = lines[0].split()[-1] if lines and "users:" in lines[0] else "the kernel, for one of its devices"
    return f"{given['protocol']} port {given['port']} cannot be taken: {error.strerror}; it is held by {who}"
