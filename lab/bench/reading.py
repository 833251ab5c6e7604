"""Reads what the tools and /proc print: iperf3's JSON, ping's lines, processor time, checksum errors."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any

__all__ = [
    "Cpu",
    "Unreadable",
    "checksum_errors",
    "cpu_between",
    "datagrams",
    "lease",
    "outage",
    "quantile",
    "round_trips",
    "streams_equal",
    "tcp",
    "why_ended",
]

TICKS = 100
"""Per second, in /proc's processor times: USER_HZ of asm-generic/param.h, the same on every architecture."""

WARM_UP = 10
"""Replies that are not counted: during the first ones addresses are resolved and caches fill."""


class Unreadable(Exception):
    """A tool reported a failure, or printed something unexpected."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor seconds."""

    daemons: float
    machine: float


def _iperf(text: str) -> Mapping[str, Any]:
    try:
        report = json.loads(text)
    except ValueError as error:
        raise Unreadable(f"iperf3 printed no JSON but: {text.strip()[-200:] or 'nothing'}") from error
    if "error" in report:
        raise Unreadable(f"iperf3: {report['error']}")
    end = report.get("end")
    if not isinstance(end, Mapping) or "sum_received" not in end:
        raise Unreadable("iperf3's report has no end.sum_received")
    return end


def tcp(text: str) -> tuple[float, int]:
    """What arrived, from iperf3 -J: bits per second, and bytes. Raises `Unreadable`."""
    received = _iperf(text)["sum_received"]
    if received["bytes"] <= 0:
        raise Unreadable("iperf3: nothing arrived")
    return float(received["bits_per_second"]), int(received["bytes"])


def datagrams(text: str) -> tuple[float, float, float]:
    """From iperf3 -J -u: datagrams sent per second, received per second, and the share that was lost.

    The receiver infers from the datagrams' numbers how many were sent (its `packets`); the sender knows.
    """
    end = _iperf(text)
    sent, received = end["sum_sent"], end["sum_received"]
    offered, arrived = int(sent["packets"]), int(received["packets"]) - int(received["lost_packets"])
    if offered <= 0 or sent["seconds"] <= 0:
        raise Unreadable("iperf3: nothing was sent")
    seconds = float(sent["seconds"])
    return offered / seconds, arrived / seconds, 1 - arrived / offered


REPLY = re.compile(r"icmp_seq=\d+ ttl=\d+ time=([0-9.]+) ms")


def round_trips(text: str) -> Sequence[float]:
    """Microseconds of each reply that ping printed, in order, after a few to warm up. Raises `Unreadable`."""
    found = [float(item) * 1000 for item in REPLY.findall(text)]
    if len(found) <= WARM_UP:
        raise Unreadable(f"ping: {len(found)} replies: {text.strip()[-200:] or 'nothing'}")
    return found[WARM_UP:]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(rank, 1) - 1]


def cpu_between(before: Mapping[str, str], after: Mapping[str, str]) -> Cpu:
    """Processor time between two looks at /proc: `machine` is /proc/stat, all others are /proc/PID/stat.

    proc_stat(5): user, nice, system, idle, iowait, irq, softirq. Time stolen by a hypervisor is not counted.
    """
    daemons = sum(_process(after[key]) - _process(before[key]) for key in before if key != "machine")
    return Cpu(daemons / TICKS, (_machine(after["machine"]) - _machine(before["machine"])) / TICKS)


def _process(stat: str) -> int:
    """utime and stime of all threads, proc_pid_stat(5); the name before them may contain spaces."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _machine(stat: str) -> int:
    user, nice, system, _idle, _iowait, irq, softirq = (int(item) for item in stat.split()[1:8])
    return user + nice + system + irq + softirq


def checksum_errors(text: str) -> Mapping[str, int]:
    """Each counter of wrong checksums in /proc/net/snmp or netstat, such as `Tcp InCsumErrors`."""
    lines = text.splitlines()
    counted = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        protocol, *columns = names.split()
        for column, value in zip(columns, values.split()[1:], strict=True):
            if column == "InCsumErrors":
                counted[f"{protocol.rstrip(':')} {column}"] = int(value)
    return counted


def lease(subnet_env: str) -> tuple[IPv4Network, int]:
    """The subnet and the MTU of a subnet.env. Raises `Unreadable`."""
    values = dict(line.partition("=")[::2] for line in subnet_env.splitlines())
    try:
        subnet = IPv4Network(values["FLANNEL_SUBNET"], strict=False)
        return subnet, int(values["FLANNEL_MTU"])
    except (KeyError, ValueError) as error:
        raise Unreadable(f"subnet.env has no FLANNEL_SUBNET and FLANNEL_MTU: {subnet_env!r}") from error


LOG_HEAD = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+\] ?")


def why_ended(log: str) -> str:
    """The last error that a daemon logged (glog's E and F), else its last line; without date and source."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if LOG_HEAD.match(line) and line[0] in "EF"]
    return LOG_HEAD.sub("", (errors or lines)[-1]) if lines else "it ended without a word"


def outage(replies: Sequence[float], killed: float) -> tuple[float, float]:
    """The longest time without a reply that ended after `killed`, and when it ended; seconds.

    Times are of one clock, ascending.
    """
    gaps = [(later - earlier, later) for earlier, later in pairwise(replies) if later > killed]
    return max(gaps, default=(0.0, killed))


def streams_equal(first: str, second: str, amount: int) -> bool:
    """Whether each end of an exchange received what the other one sent, whole; both reports are JSON.

    Raises `Unreadable`.
    """
    try:
        here, there = (json.loads(text.strip().splitlines()[-1]) for text in (first, second))
        pairs = (here["sent"] == there["received"], there["sent"] == here["received"])
        return all(pairs) and here["bytes"] == there["bytes"] == amount
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"an exchange of streams: {first[-200:]!r} and {second[-200:]!r}") from error
