"""Rate limit for ICMP answers. Pure: the caller supplies the clock."""

__all__ = ["TokenBucket"]


class TokenBucket:
    """A token bucket with the kernel's own limits for ICMP errors.

    See icmp_msgs_per_sec and icmp_msgs_burst in the kernel's networking/ip-sysctl.rst.
    """

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float = 1000.0, burst: float = 50.0) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, 0.0

    def take(self, now: float) -> bool:
        """Take a token; return whether there was one. `now` is in seconds of a monotonic clock."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
