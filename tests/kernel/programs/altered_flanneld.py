"""flanneld with some of its times altered: the first argument, as JSON; the others are flanneld's own.

{"ttl": S}    leases live so long instead of 24 hours; they are renewed after 2 seconds, which is when the
              daemon looks, and given up 4 before their end
{"skew": S}   its time of day is wrong by so much
{"looks": S}  so much lies between two looks at everything that the kernel does not tell of, instead of 10
"""

import json
import sys
import time
import types
from collections.abc import Callable

import grpc._channel

# A deadline is a time of day here, which its library in C compares with the kernel's.
vars(grpc._channel)["time"] = types.SimpleNamespace(**vars(time))

sys.path.insert(0, "/usr/lib/flanneld")
altered, sys.argv = json.loads(sys.argv[1]), ["flanneld", *sys.argv[2:]]
skew = altered.get("skew", 0)


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
from flanneld_py.daemon import claim, lease_loop, reconcile  # noqa: E402

RENEW = 2.0


def renew_at(self: claim.Claim, margin: float) -> float:
    return self.asked_at + (0 if self.spoiled else RENEW)


def short(ttl: int) -> None:
    usual = registry.TTL
    for name, module in list(sys.modules.items()):  # each that has it has it by its own name
        if name.startswith("flanneld_py.") and vars(module).get("TTL") == usual:
            vars(module)["TTL"] = ttl
    vars(claim)["GUARD"], vars(lease_loop)["RENEW_RETRY"] = 4.0, 0.5
    vars(claim)["Claim"].renew_at = renew_at


if "ttl" in altered:
    short(altered["ttl"])
if "looks" in altered:
    vars(reconcile)["FULL_INTERVAL"] = altered["looks"]
    vars(lease_loop)["ADDRESS_CHECK_INTERVAL"] = altered["looks"]
sys.exit(main())
