"""How many answers a second may be given. Pure: the caller has the clock."""

__all__ = ["TokenBucket"]


class TokenBucket:
    """So many a second, and so many at once: the kernel's own limit of ICMP errors (icmp_msgs_per_sec and
    icmp_msgs_burst of its networking/ip-sysctl.rst)."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float = 1000.0, burst: float = 50.0) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, 0.0

    def take(self, now: float) -> bool:
        """Whether one more is in it at this time, in seconds of a clock that does not go back."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
