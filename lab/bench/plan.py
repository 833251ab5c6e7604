"""What is measured, in which order, with which command."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from lab.bench.ways import Settings, Way

__all__ = ["OFFERED", "WAIT", "Place", "Sweep", "Test", "client", "duration", "order", "server", "sweeps"]

OFFERED = 400_000
"""Datagrams per second that the UDP tests offer: more than any proxy on two cores can handle."""

PINGS = 500
"""Echo requests a second: 2 ms apart, the shortest interval that needs no flood."""

STARTING, KILLING, VERIFYING = 0.06, 4.5, 40.0
"""Seconds: to start one measurement, for one outage, and to carry 1 GB each way at both places."""

WAIT = 15.0
"""Seconds that a measurement may take beyond its planned time."""


class Place(Enum):
    """The endpoints: the machines themselves, or containers behind a bridge on each."""

    HOST = "host to host"
    POD = "container to container"


class Test(Enum):
    """One measurement of one way."""

    TCP1 = "TCP, 1 stream"
    TCP4 = "TCP, 4 streams"
    SMALL = "64-byte UDP"
    LARGE = "1200-byte UDP"
    ROUND_TRIP = "round trip"

    __test__ = False  # pytest would take it for a test


STREAMS = {Test.TCP1: 1, Test.TCP4: 4}
LENGTH = {Test.SMALL: 64, Test.LARGE: 1200}
"""Bytes of a datagram's payload."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The same test of every way, one after the other, so that a ratio compares values seconds apart."""

    round: int
    place: Place
    test: Test
    ways: tuple[Way, ...]


def order(ways: Sequence[Way], number: int) -> tuple[Way, ...]:
    """The ways in the order of round `number`. Rounds start with different ones; every second is reversed.

    So no way always follows the same one, and none is always first.
    """
    if not ways:
        return ()
    start = (number * 2 + number // len(ways)) % len(ways)
    turned = (*ways[start:], *ways[:start])
    return turned if number % 2 == 0 else turned[::-1]


def sweeps(ways: Sequence[Way], settings: Settings) -> Iterator[Sweep]:
    """Every measurement of a run."""
    for number in range(settings.rounds):
        for place in Place:
            for test in Test:
                yield Sweep(number, place, test, order(ways, number))


def duration(ways: Sequence[Way], settings: Settings) -> float:
    """About how many seconds a run takes; the parts were timed on two cores."""
    udp = sum(way.is_udp for way in ways)
    tests = len(ways) * len(Place) * len(Test) * (settings.seconds + STARTING)
    return settings.rounds * (tests + udp * KILLING) + udp * (VERIFYING if settings.verify else 3)


def server(address: str) -> tuple[str, ...]:
    """The command that listens on the receiving side, for one measurement."""
    return ("iperf3", "--server", "--one-off", "--bind", address, "--forceflush")


def client(test: Test, source: str, destination: str, settings: Settings) -> tuple[str, ...]:
    """The command that measures, on the sending side.

    ping measures the round trip: the far kernel answers by itself, so no program has to be scheduled there.
    """
    if test is Test.ROUND_TRIP:
        count = str(PINGS * settings.seconds)
        return ("ping", "-n", "-i", str(1 / PINGS), "-c", count, "-W", "1", "-I", source, destination)
    argv = ["iperf3", "--client", destination, "--bind", source, "--time", str(settings.seconds), "--json"]
    if test in STREAMS:
        argv += ["--parallel", str(STREAMS[test]), "--connect-timeout", "3000"]
        argv += ["--congestion", settings.congestion] if settings.congestion else []
    else:
        argv += ["--udp", "--length", str(LENGTH[test]), "--bitrate", str(OFFERED * LENGTH[test] * 8)]
    return tuple(argv)
