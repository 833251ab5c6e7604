"""flanneld with leases of so many seconds instead of 24 hours, and a time of day that is wrong by so many.

A lease is renewed after 2 seconds, which is when the daemon looks, and given up 4 before its end. Arguments:
the lease's seconds, those of the time of day, and flanneld's own.
"""

import sys
import time
import types
from collections.abc import Callable

import grpc._channel

# A deadline is a time of day here, which its library in C compares with the kernel's.
vars(grpc._channel)["time"] = types.SimpleNamespace(**vars(time))

sys.path.insert(0, "/usr/lib/flanneld")
ttl, skew, sys.argv = int(sys.argv[1]), int(sys.argv[2]), ["flanneld", *sys.argv[3:]]


def skewed(name: str, unit: int) -> Callable[[int], float]:
    real = getattr(time, name)
    return lambda clock: real(clock) + (skew * unit if clock == time.CLOCK_REALTIME else 0)


time_of_day, nanoseconds = time.time, time.time_ns
time.time = lambda: time_of_day() + skew
time.time_ns = lambda: nanoseconds() + skew * 10**9
for clock, unit in (("clock_gettime", 1), ("clock_gettime_ns", 10**9)):
    setattr(time, clock, skewed(clock, unit))

from flanneld_py import registry  # noqa: E402
from flanneld_py.cli import main  # noqa: E402
from flanneld_py.daemon import claim, lease_loop  # noqa: E402

GUARD, RENEW, RENEW_RETRY = 4.0, 2.0, 0.5
usual = registry.TTL
for name, module in list(sys.modules.items()):  # each that has it has it by its own name
    if name.startswith("flanneld_py.") and vars(module).get("TTL") == usual:
        module.__dict__["TTL"] = ttl
vars(claim)["GUARD"], vars(lease_loop)["RENEW_RETRY"] = GUARD, RENEW_RETRY


def renew_at(self: claim.Claim, margin: float) -> float:
    return self.asked_at + (0 if self.spoiled else RENEW)


vars(claim)["Claim"].renew_at = renew_at
sys.exit(main())
