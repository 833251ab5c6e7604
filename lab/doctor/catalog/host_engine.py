"""The engine: that it answers, what it can do, and its clock."""

from collections.abc import Iterator
from datetime import UTC, datetime

from lab.doctor.host_seen import HOST, Host
from lab.doctor.model import Found, Severity
from lab.doctor.registry import about_host

SKEW = 2.0
"""Seconds by which two machines' clocks may differ."""

TRIED = (20, 10)
"""The oldest Docker that a lab has been seen with."""

SLOW = {"vfs", "devicemapper"}


@about_host("host.engine", finds="No Docker engine answers")
def engine(host: Host) -> Iterator[Found]:
    """In the engine's own words, and the remedy of `lab up`."""
    if host.engine_error:
        yield Found(
            HOST, "no Docker engine answers", (host.engine_error,), tuple(_commands(host.engine_hint))
        )
    elif host.engine is None:
        yield Found(HOST, "the Docker engine does not say what it is", ("GET /info failed",), ("lab ls",))


def _commands(hint: str) -> list[str]:
    """A hint, of which what is no command is for a person."""
    lines = [line for line in hint.splitlines() if line.strip()]
    return [line.strip() if line.startswith("    ") else f"# {line}" for line in lines] or ["lab up"]


@about_host(
    "host.engine-version",
    severity=Severity.NOTE,
    finds="An engine older than 20.10, with which no lab was tried",
)
def engine_version(host: Host) -> Iterator[Found]:
    """Docker's."""
    numbers = host.engine.version.split(".")[:2] if host.engine is not None else []
    if len(numbers) == 2 and all(it.isdigit() for it in numbers) and tuple(map(int, numbers)) < TRIED:
        seen = f"version: {host.engine.version if host.engine else ''}"
        fix = ("# https://docs.docker.com/engine/install/ has a newer one",)
        yield Found(HOST, "no lab was tried with an engine that old", (seen,), fix)


@about_host("host.storage", severity=Severity.NOTE, finds="A storage driver that copies whole images")
def storage(host: Host) -> Iterator[Found]:
    """vfs, mostly where the engine itself is in a container."""
    if host.engine is not None and host.engine.driver in SLOW:
        fix = ('# in /etc/docker/daemon.json: {"storage-driver": "overlay2"}', "systemctl restart docker")
        what = "the engine copies an image for each machine: that takes long, and much of the disk"
        yield Found(HOST, what, (f"storage driver: {host.engine.driver}",), fix)


@about_host("host.cgroups", severity=Severity.NOTE, finds="Control groups without what limits memory")
def cgroups(host: Host) -> Iterator[Found]:
    """As the engine says."""
    words = [it for it in (host.engine.warnings if host.engine else ()) if "No memory limit" in it]
    if words and host.engine is not None:
        evidence = (f"control groups of version {host.engine.cgroups}", *words)
        fix = ("# as a parameter of the kernel: cgroup_enable=memory",)
        yield Found(HOST, "no memory can be limited, so `lab fault start oom` is refused", evidence, fix)


@about_host(
    "host.capabilities",
    finds="A capability that the lab's machines need, and the engine itself does not have",
)
def capabilities(host: Host) -> Iterator[Found]:
    """As where it is in a container itself."""
    if host.lacks:
        evidence = tuple(f"CapBnd of dockerd: no CAP_{name}" for name in host.lacks)
        fix = ("# start the container that the engine is in with --privileged",)
        yield Found(HOST, f"the engine cannot give its containers {', '.join(host.lacks)}", evidence, fix)


@about_host(
    "host.clock",
    finds="This host's clock and the engine's differ, or it is earlier than our own files were written",
)
def clock(host: Host) -> Iterator[Found]:
    """Certificates and leases depend on it."""
    now = f"this host: {_at(host.wall)}"
    ahead = host.engine.clock_ahead if host.engine is not None else None
    if ahead is not None and abs(ahead) > SKEW:
        evidence = (now, f"the engine: {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}")
        yield Found(
            HOST, "this host's clock and the engine's differ", evidence, ("timedatectl set-ntp true",)
        )
    if host.newest_source is not None and host.newest_source > host.wall + SKEW:
        evidence = (now, f"newest file of lab/: {_at(host.newest_source)}")
        yield Found(HOST, "this host's clock is behind", evidence, ("timedatectl set-ntp true",))


def _at(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
