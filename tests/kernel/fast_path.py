"""What the tests of udp's fast path share: machines that have it, and how it shows."""

from collections.abc import Mapping

import pytest

from flanneld_py.datapath import fast_path
from lab import wait
from tests.kernel.faults import UDP_WAYS, Node, configure, nodes
from tests.kernel.harness import USUAL, Host, Sandbox, eventually

__all__ = ["FAST", "NEEDED", "attached", "gets_all", "goes_on_without", "pair", "stop"]

NEEDED = [
    pytest.mark.kernel,
    pytest.mark.skipif(not fast_path.is_compiled(), reason="there was no clang to compile the fast path"),
]

FAST = UDP_WAYS["fast path"]


def pair(sandbox: Sandbox, *options: str, altered: Mapping[str, float] = USUAL) -> tuple[Node, Node]:
    """Two machines that send to each other by the fast path."""
    configure(sandbox, "udp")
    here, there = nodes(sandbox, 2, *(options or FAST), altered=altered)
    for node in (here, there):
        node.daemon.says("Packets are carried by the fast path")
    return here, there


def stop(*of: Node) -> None:
    for node in of:
        node.daemon.signal("STOP")


def goes_on_without(here: Host, there: Host, *daemons: Node) -> None:
    """Wait until packets are carried though these daemons are stopped."""
    here.reaches(there.address, here.address)

    def probe() -> bool | wait.NotYet:
        stop(*daemons)
        ping = here.run("ping", "-c1", "-W1", there.address, check=False)
        if ping.exit_code != 0:
            for node in daemons:
                node.daemon.signal("CONT")
        return ping.exit_code == 0 or wait.NotYet(ping.output)

    eventually(probe, "packets to be carried by the programs alone", 20)


def gets_all(source: Host, sink: Host, address: str, megabytes: int = 64) -> None:
    taker = sink.start("take_hashed", address)
    taker.says("listening")
    taker.says(source.run_python("send_hashed", address, str(megabytes)).text.strip())
    taker.signal("KILL")
    taker.ends(5)


def attached(host: Host, device: str) -> list[int]:
    """Programs that see what comes in by a device, and what goes out."""
    return [int(line) for line in host.run_python("attached_programs", device).text.split()]
