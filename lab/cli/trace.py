"""The verb that follows packets: trace."""

from typing import Literal

import click

from lab.cli import complete
from lab.cli.common import as_json, echo, lab_name, print_json
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import Unfit
from lab.render import trace as render
from lab.streams import width
from lab.trace.asked import COUNT, Asked
from lab.trace.control import trace

__all__ = ["COMMANDS"]


@click.command(name="trace")
@click.argument("source", metavar="SRC", shell_complete=complete.ends)
@click.argument("destination", metavar="DST", shell_complete=complete.ends)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="TCP segments to this port; datagrams with --udp."
)
@click.option("--icmp", is_flag=True, help="Echo requests  [default, without --port]")
@click.option("--udp", is_flag=True, help="UDP datagrams, to --port.")
@click.option(
    "--size",
    type=click.IntRange(28, 65535),
    help="Bytes of every probe, with its IP header  [default: small ones, and a few as large as fit]",
)
@click.option(
    "--count", type=click.IntRange(1, 1000), default=COUNT, show_default=True, help="How many probes to send."
)
@click.option("-6", "ipv6", is_flag=True, help="By IPv6, where the ends have both.")
@lab_name
@as_json
def trace_(
    source: str,
    destination: str,
    port: int | None,
    icmp: bool,
    udp: bool,
    size: int | None,
    count: int,
    ipv6: bool,
    name: str,
    json_: bool,
) -> int:
    """Follow packets from one pod or machine to another, and name the hop that they do not get past.

    SRC and DST are pods, machines, containers (MACHINE/NAME), or addresses. Each hop is told by what the
    machines' tables say, and by where probes were seen; where some are lost, by what the kernel says of the
    rules that they meet. Exits with 1 if anything is wrong.
    """
    if icmp and (udp or port):
        raise Unfit("--icmp goes with neither --udp nor --port")
    if udp and not port:
        raise Unfit("--udp: to which port? Name it with --port")
    protocol: Literal["icmp", "udp", "tcp"] = "udp" if udp else "tcp" if port else "icmp"
    asked = Asked(source, destination, protocol, port or 0, count, size or 0, 6 if ipv6 else 4)
    start, end, found = trace(Lab.get(Engine.connect(), name), asked)
    if json_:
        print_json(render.document(asked, start, end, found))
    else:
        echo(render.trace(asked, start, end, found, width=width()))
    return 0 if found.ok else 1


COMMANDS = (trace_,)
