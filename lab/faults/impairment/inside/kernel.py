"""Asking and changing this node's kernel, by ip(8) and tc(8)."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from lab import wait
from lab.errors import CommandError, LabError
from lab.faults.impairment.inside.tap import holders
from lab.faults.impairment.pipeline import EXIT, HOLE, PROBE, TAP_MTU, VETH_MTU, Pair, Tap, is_ours
from lab.faults.impairment.seen import Held, Link, Seen, Signature, parse_filters, parse_links, parse_qdiscs

__all__ = [
    "drain", "end_lines", "has_netem", "ip", "make_pairs", "observe", "observe_links", "set_up_taps", "tc",
]  # fmt: skip

COMMAND = 30.0
"""Seconds that ip(8) or tc(8) may take."""

ENDS = 5.0
"""Seconds that a queue, or a delay line, has to let everything arrive; a line that hangs is killed."""

SINGLE = 512
"""Bytes: super-packets of more are segmented before a device with this `gso_max_size` gets them.

Of some, such as those from a tap, the kernel does not know of how many packets they are (`gso_max_segs`).
"""

QUEUE = 10_000
"""Packets that wait for a delay line to read them."""


def _run(*argv: str, given: str = "", check: bool = True) -> str:
    """Run a program of iproute2; its standard output. Raises `LabError`."""
    try:
        # It has the lock, too: should we be killed, nobody acts before it has ended.
        done = subprocess.run(
            argv, input=given, capture_output=True, text=True, check=False, timeout=COMMAND, close_fds=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(
            f"cannot run {argv[0]}: {error}", hint="the machine needs the package iproute2"
        ) from error
    if check and done.returncode != 0:
        raise CommandError(os.uname().nodename, argv, done.returncode, f"{given}\n{done.stderr}{done.stdout}")
    return done.stdout


def ip(commands: Iterable[str]) -> None:
    """Several commands of ip(8). Raises `LabError` at the first that fails."""
    _batch("ip", commands)


def tc(commands: Iterable[str]) -> None:
    """Several commands of tc(8). Raises `LabError` at the first that fails."""
    _batch("tc", commands)


def _batch(program: str, commands: Iterable[str]) -> None:
    text = "\n".join(commands)
    if text:
        _run(program, "-batch", "-", given=f"{text}\n")


def observe_links() -> Mapping[str, Link]:
    """The devices that there are now."""
    return parse_links(_run("ip", "-json", "link", "show"))


def observe() -> Seen:
    """What there is now."""
    qdiscs = parse_qdiscs(_run("tc", "-json", "qdisc", "show"))
    filters = _filters(device for device, kinds in qdiscs.items() if "clsact" in kinds)
    return Seen(observe_links(), qdiscs, filters, holders())


def _filters(devices: Iterable[str]) -> frozenset[Signature]:
    places = []
    for device in devices:
        hooks = ("ingress",) if is_ours(device) else ("ingress", "egress")
        places += [(device, hook) for hook in hooks]
    asked = "".join(f"filter show dev {device} {hook}\n" for device, hook in places)
    answers = _run("tc", "-json", "-batch", "-", given=asked).splitlines() if places else []
    if len(answers) != len(places):
        raise LabError(f"tc was asked for the filters of {len(places)} places, and told of {len(answers)}")
    return frozenset(
        item
        for (device, hook), answer in zip(places, answers, strict=True)
        for item in parse_filters(device, hook, answer)
    )


def has_netem(seen: Seen) -> bool:
    """Whether the kernel has sch_netem, or can load it."""
    if PROBE in seen.links:  # somebody was killed who asked
        ip([f"link delete {PROBE}"])
    ip([f"link add {PROBE} type veth peer name {PROBE}-x"])
    try:
        _run("tc", "qdisc", "add", "dev", PROBE, "root", "netem", "delay", "1ms")
    except CommandError:
        return False
    finally:
        ip([f"link delete {PROBE}"])
    return True


def make_pairs(pairs: Iterable[Pair]) -> None:
    """Make veth devices. No packet of the kernel's own, such as IPv6 sends, is to come from them."""
    commands = []
    for pair in pairs:
        address = f" address {pair.address}" if pair.address else ""
        commands.append(f"link add {pair.name} type veth peer name {pair.exit}{address}")
        if pair.segments:
            commands.append(f"link set {pair.name} gso_max_segs 1 gso_max_size {SINGLE}")
        for end in (pair.name, pair.exit):
            commands.append(f"link set {end} addrgenmode none mtu {VETH_MTU} txqueuelen {QUEUE}")
            if end != f"{HOLE}{EXIT}":
                commands.append(f"link set {end} up")
    ip(commands)


def set_up_taps(taps: Iterable[Tap]) -> None:
    """Have the devices of delay lines, which are held already, carry packets."""
    commands = []
    for tap in taps:
        address = f"address {tap.address} " if tap.address else ""
        settings = f"{address}addrgenmode none mtu {TAP_MTU} txqueuelen {QUEUE}"
        commands.append(f"link set {tap.name} {settings} up")
    ip(commands)


def drain(devices: Collection[str]) -> None:
    """Wait until nothing is held by the queueing disciplines of these: what was under way has arrived."""

    def probe() -> bool | wait.NotYet:
        told = json.loads(_run("tc", "-statistics", "-json", "qdisc", "show"))
        held = {item["dev"]: item["qlen"] for item in told if item["dev"] in devices and item["qlen"]}
        return not held or wait.NotYet(held)

    if not devices:
        return
    # What waits for longer is lost, as with a delay line that is killed: an end is not to take a minute.
    with suppress(wait.TimedOut):
        wait.until(probe, what="queues to be empty", timeout=ENDS)


def end_lines(lines: Sequence[Held]) -> None:
    """End the processes; each lets all arrive that is under way."""
    watched = []
    for line in lines:
        with suppress(ProcessLookupError):
            watched.append(os.pidfd_open(line.pid))
            signal.pidfd_send_signal(watched[-1], signal.SIGTERM)
            signal.pidfd_send_signal(watched[-1], signal.SIGCONT)
    for descriptor in watched:
        if not _ends(descriptor, ENDS):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            _ends(descriptor, ENDS)
        os.close(descriptor)


def _ends(descriptor: int, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))
