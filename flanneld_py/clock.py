"""The daemon's clock: seconds since boot, sleep included, whatever is done to the time of day.

A lease runs out in etcd also while this machine is suspended, which CLOCK_MONOTONIC does not count.
"""

import time

__all__ = ["now"]


def now() -> float:
    """Seconds since boot (CLOCK_BOOTTIME of linux/time.h)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
