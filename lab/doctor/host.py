"""Asks the host: the engine, the kernel, limits, disk and memory, routes and rules, labs and images."""

import json
import os
import resource
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

from lab import images, status, threads
from lab.confinement import MACHINE
from lab.deadlines import LOOK
from lab.doctor.host_seen import Bridge, Engine, Host, Image, OtherLab, Route
from lab.doctor.seen import Folder
from lab.engine import Engine as DockerEngine
from lab.engine import EngineUnavailable
from lab.errors import LabError
from lab.labels import NAME
from lab.packet_filter import COMMANDS, Ruleset, parse_ruleset
from lab.programs import run
from lab.spec import LabSpec

__all__ = ["look_at_host"]

T = TypeVar("T")

DOCKERD_PIDFILE = Path("/var/run/docker.pid")
OURS = Path(__file__).parent.parent

CAPABILITIES = {"NET_ADMIN": 12, "SYS_PTRACE": 19, "SYS_ADMIN": 21}
"""linux/capability.h, of those that the lab's machines are given."""


def look_at_host(engine: DockerEngine | EngineUnavailable, name: str, spec: LabSpec | None) -> Host:
    """What is seen of the host; `spec` is the lab that is up or wanted, if there is one."""
    found = None if isinstance(engine, EngineUnavailable) else engine
    here = found is None or found.is_here
    asked = threads.start(lambda: _engine(found)) if found is not None else None
    others = threads.start(lambda: _labs(found, name)) if found is not None else None
    listed = threads.start(lambda: _images(found)) if found is not None else None
    told = asked.result() if asked is not None else None
    limits = _limits() if here else {}
    return Host(
        engine=told,
        engine_error=engine.message if isinstance(engine, EngineUnavailable) else "",
        engine_hint=engine.hint if isinstance(engine, EngineUnavailable) else "",
        backend=spec.backend_config.type if spec is not None else "",
        wanted=tuple(item.subnet for item in spec.segments if item.subnet is not None) if spec else (),
        kernel=_kernel() if here else {},
        **limits,
        disk=_disk(told.root) if here and told is not None and told.root else None,
        routes=tuple(_routes()) if here else (),
        bridges=tuple(_bridges(found)) if found is not None else (),
        here=here,
        bridged_filtered=here and _text("/proc/sys/net/bridge/bridge-nf-call-iptables") == "1",
        rules=_rules() if here else None,
        lacks=tuple(_lacks()) if here else (),
        labs=others.result() if others is not None else (),
        images=listed.result() if listed is not None else (),
        newest_source=max(path.stat().st_mtime for path in OURS.rglob("*.py")),
        wall=time.time(),
    )


def _engine(engine: DockerEngine | None) -> Engine | None:
    """What it says of itself; None where it does not."""
    if engine is None:
        return None
    before = time.time()
    try:
        told = engine.describe()
    except LabError:
        return None
    return Engine(
        version=str(told.get("Version", "")),
        driver=str(told.get("Driver") or ""),
        cgroups=str(told.get("CgroupVersion") or ""),
        here=engine.is_here,
        clock_ahead=_ahead(str(told.get("SystemTime") or ""), before, time.time()),
        warnings=tuple(told.get("Warnings") or ()),
        root=str(told.get("DockerRootDir") or ""),
    )


def _ahead(at: str, before: float, after: float) -> float | None:
    """By how much a time is later than all, or earlier than all, between two others."""
    try:
        seconds = datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None
    return seconds - min(max(seconds, before), after)


def _quietly(ask: Callable[[], Sequence[T]]) -> tuple[T, ...]:
    """An engine's answer; nothing where it fails, which others tell."""
    try:
        return tuple(ask())
    except LabError:
        return ()


def _labs(engine: DockerEngine | None, name: str) -> tuple[OtherLab, ...]:
    if engine is None:
        return ()
    found = [OtherLab(it.name, it.state) for it in _quietly(lambda: status.labs(engine))]
    return tuple(lab for lab in found if lab.name != name or lab.state == "left over")


def _images(engine: DockerEngine | None) -> tuple[Image, ...]:
    if engine is None:
        return ()
    return tuple(Image(item.name, item.state) for item in _quietly(lambda: images.listing(engine)))


def _bridges(engine: DockerEngine) -> Iterator[Bridge]:
    """The labs' networks: the engine names a bridge after the network's identifier."""
    for item in _quietly(lambda: engine.networks([NAME])):
        if item.subnets:
            yield Bridge(item.labels[NAME], f"br-{item.id[:12]}", item.underlay)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: str, place: int = 0) -> int | None:
    words = _text(path).split()
    return int(words[place]) if len(words) > place and words[place].isdigit() else None


def _kernel() -> Mapping[str, bool]:
    """Which options the kernel was built with; empty where it does not say."""
    try:
        packed = Path("/proc/config.gz").read_bytes()
        text = zlib.decompress(packed, wbits=31).decode()  # of gzip's format
    except (OSError, zlib.error):
        text = _text(f"/boot/config-{os.uname().release}")
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.startswith("CONFIG_"):
            found[name.removeprefix("CONFIG_")] = value in {"y", "m"}
        elif line.endswith(" is not set"):
            found[line.split()[1].removeprefix("CONFIG_")] = False
    return found


def _limits() -> dict[str, int | None]:
    """Of inotify, files and memory."""
    memory = dict(line.split(":", 1) for line in _text("/proc/meminfo").splitlines() if ":" in line)
    sizes = {key: int(value.split()[0]) << 10 for key, value in memory.items() if value.endswith("kB")}
    kills = [line.split()[1] for line in _text("/proc/vmstat").splitlines() if line.startswith("oom_kill ")]
    return {
        "inotify_instances": _number("/proc/sys/fs/inotify/max_user_instances"),
        "inotify_used": _inotify_used() if os.geteuid() == 0 else None,
        "files_open": _number("/proc/sys/fs/file-nr"),
        "files_max": _number("/proc/sys/fs/file-nr", 2),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "memory": sizes.get("MemTotal"),
        "memory_available": sizes.get("MemAvailable"),
        "oom_kills": int(kills[0]) if kills else None,
    }


def _inotify_used() -> int:
    """How many instances root has, whose machines' root it is: the limit counts by user."""
    used = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == 0:
                targets = [os.readlink(it) for it in (process / "fd").iterdir()]  # noqa: PTH115 - no path
                used += targets.count("anon_inode:inotify")
        except OSError:  # it has ended
            continue
    return used


def _disk(path: str) -> Folder | None:
    try:
        about = os.statvfs(path)
    except OSError:
        return None
    free, size = about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize
    read_only = bool(about.f_flag & os.ST_RDONLY)
    return Folder(path, True, read_only, free, size, about.f_favail, about.f_files)


def _said(*argv: str) -> str:
    """What a program of this host prints; nothing where there is none, or it fails."""
    try:
        done = run(argv, within=LOOK.seconds)
    except (OSError, LabError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _routes() -> Iterator[Route]:
    for family in ("-4", "-6"):
        for item in json.loads(_said("ip", "-json", family, "route", "show") or "[]"):
            target = item.get("dst", "default")
            if target != "default":
                device = item.get("dev", "")
                via = f" via {item['gateway']}" if "gateway" in item else ""
                yield Route(ip_network(target), device, f"{target}{via} dev {device}")


def _rules() -> Ruleset | None:
    printed = {name: _said(*argv) for name, argv in COMMANDS.items()}
    try:
        return parse_ruleset(printed) if printed["nft"] else None
    except ValueError:
        return None


def _lacks() -> Iterator[str]:
    """By the bounding set of dockerd, where it has a pid file (proc(5), CapBnd)."""
    pid = _text(str(DOCKERD_PIDFILE))
    lines = _text(f"/proc/{pid}/status").splitlines() if pid.isdigit() else []
    sets = [int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:")]
    for name in MACHINE.capabilities if sets else ():
        if not sets[0] >> CAPABILITIES[name] & 1:
            yield name
