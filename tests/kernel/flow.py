"""A flow of numbered packets between two machines or pods, and what of it was lost.

Each packet is an echo request, so the flow needs both directions.
"""

import itertools
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from lab import wait
from lab.deadlines import patience
from tests.kernel.harness import Host, Process, eventually

__all__ = ["Flow", "Losses"]

REPLY = re.compile(r"^\[(\d+\.\d+)\] \d+ bytes from \S+ icmp_seq=(\d+) ", re.MULTILINE)
NUMBERS = 1 << 16
"""icmp_seq counts up to this and begins anew; no flow here is as long."""


@dataclass(frozen=True)
class Losses:
    """What a flow has lost: the numbers of packets, and the longest time without any, in seconds."""

    sent: int
    lost: tuple[int, ...]
    gap: float


@dataclass(frozen=True)
class Flow:
    """A `ping` that runs until `end`. It prints every reply with its time and number."""

    process: Process

    @classmethod
    def begin(cls, source: Host, destination: str, interval: float = 0.02) -> Self:
        """Begin, and wait until the first packets have come back."""
        flow = cls(source.spawn("ping", "-D", "-i", str(interval), destination))
        flow.goes_on()
        return flow

    def replies(self) -> list[tuple[float, int]]:
        """Time and number of each reply, in their order."""
        return [(float(at), int(number)) for at, number in REPLY.findall(self.process.log)]

    def last(self) -> datetime:
        """When the last reply came, in the containers' time zone."""
        return datetime.fromtimestamp(self.replies()[-1][0], UTC)

    def goes_on(self, timeout: float = 10) -> None:
        """Wait until more packets come back than have so far."""
        before = len(self.replies())

        def probe() -> bool | wait.NotYet:
            log = self.process.log
            more = len(REPLY.findall(log)) - before
            return more >= 5 or wait.NotYet(log[-500:] or "nothing")

        eventually(probe, "the flow to go on", timeout)

    def lasts(self, seconds: float) -> None:
        """Wait until packets still come back so many seconds from now."""
        begun_at = self.replies()[-1][0]

        def probe() -> bool | wait.NotYet:
            lasted = self.replies()[-1][0] - begun_at
            return lasted >= seconds or wait.NotYet(f"{lasted:.1f} s")

        wait.until(
            probe, what=f"the flow to last {seconds} s", timeout=(seconds + 10) * patience(), interval=0.5
        )

    def stands_still(self, timeout: float = 10) -> None:
        """Wait until no packet comes back for half a second."""
        seen = -1

        def probe() -> bool | wait.NotYet:
            nonlocal seen
            before, seen = seen, len(self.replies())
            return before == seen or wait.NotYet(f"{seen} replies")

        wait.until(probe, what="the flow to stand still", timeout=timeout * patience(), interval=0.5)

    def end(self) -> Losses:
        """End a flow that still flows; what was lost until now."""
        self.goes_on()
        self.process.signal("INT")
        self.process.ends(5)
        replies = self.replies()
        numbers = {number for _, number in replies}
        last = max(numbers)
        assert last < NUMBERS - 1, "too long a flow to count"
        times = sorted(at for at, _ in replies)
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        return Losses(last, tuple(number for number in range(1, last) if number not in numbers), max(gaps))
