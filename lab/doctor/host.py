"""Asks hosts: the engine, the kernel, limits, disk and memory, routes and rules, labs and images."""

import json
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

from lab import images, status, threads
from lab.cluster import Lab
from lab.cluster.fleet import Fleet
from lab.confinement import MACHINE
from lab.deadlines import LOOK
from lab.doctor import inside
from lab.doctor.host_seen import Bridge, Engine, Host, Image, OtherLab, Route
from lab.doctor.inside.host import disk, kernel, limits, number, text
from lab.doctor.seen import Folder
from lab.engine import Engine as DockerEngine
from lab.engine import EngineUnavailable
from lab.errors import LabError
from lab.inside import program
from lab.labels import NAME
from lab.node import Node
from lab.packet_filter import COMMANDS, Ruleset, parse_ruleset
from lab.programs import run
from lab.protocols import Runs
from lab.spec import LabSpec

__all__ = ["look_at_host", "look_at_hosts"]

T = TypeVar("T")

DOCKERD_PIDFILE = Path("/var/run/docker.pid")
OURS = Path(__file__).parent.parent

CAPABILITIES = {"NET_ADMIN": 12, "SYS_PTRACE": 19, "SYS_ADMIN": 21}
"""linux/capability.h, of those that the lab's machines are given."""


def look_at_hosts(
    engine: DockerEngine | EngineUnavailable, name: str, spec: LabSpec | None, lab: Lab | None
) -> Sequence[Host]:
    """What is seen of the host of each of a lab's engines; `spec` is the lab that is up or wanted.

    Hosts of engines elsewhere are seen by way of a machine of the lab that runs there.
    """
    if isinstance(engine, EngineUnavailable) or spec is None or not spec.engines:
        return (look_at_host(engine, name, spec, machine=_machine_on(lab, "")),)
    fleet = lab.fleet if lab is not None else Fleet.of(engine, spec.engines)
    every: Mapping[str, DockerEngine | EngineUnavailable] = {**fleet.engines, **fleet.silent}

    def of(named: str) -> Host:
        found = every[named]
        machine = _machine_on(lab, named)
        return look_at_host(found, name, spec, named, machine=machine, home=found is engine)

    return threads.each(of, [item.name for item in spec.engines])


def _machine_on(lab: Lab | None, engine: str) -> Node | None:
    """One that runs on an engine of a lab."""
    every = lab.nodes.items() if lab is not None else ()
    found = (node for name, node in every if lab is not None and lab.engine_of(name) == engine)
    return next((node for node in found if node.container.state == "running"), None)


def look_at_host(
    engine: DockerEngine | EngineUnavailable,
    name: str,
    spec: LabSpec | None,
    named: str = "",
    *,
    machine: Runs | None = None,
    home: bool = True,
) -> Host:
    """What is seen of an engine's host: here, or else by way of a machine that runs on it.

    `named` is what the lab file calls it, and `home` whether it is the one that knows of labs.
    """
    found = None if isinstance(engine, EngineUnavailable) else engine
    here = found.is_here if found is not None else home
    asked = threads.start(lambda: _engine(found)) if found is not None else None
    others = threads.start(lambda: _labs(found, name)) if found is not None and home else None
    listed = threads.start(lambda: _images(found)) if found is not None else None
    told = asked.result() if asked is not None else None
    root = told.root if told is not None else ""
    below = _below_here(root) if here else _below(machine)
    return Host(
        name=named,
        engine=told,
        engine_error=engine.message if isinstance(engine, EngineUnavailable) else "",
        engine_hint=engine.hint if isinstance(engine, EngineUnavailable) else "",
        backend=spec.backend_config.type if spec is not None else "",
        wanted=tuple(item.subnet for item in spec.segments if item.subnet is not None) if spec else (),
        kernel=below["kernel"],
        **below["limits"],
        **(_own_limits() if here else {}),
        disk=Folder(path=root, there=True, **below["disk"]) if root and below["disk"] else None,
        routes=tuple(_routes()) if here else (),
        bridges=tuple(_bridges(found)) if found is not None else (),
        here=here,
        bridged_filtered=here and text("/proc/sys/net/bridge/bridge-nf-call-iptables") == "1",
        rules=_rules() if here else None,
        lacks=tuple(_lacks()) if here else (),
        labs=others.result() if others is not None else (),
        images=listed.result() if listed is not None else (),
        newest_source=max(path.stat().st_mtime for path in OURS.rglob("*.py")) if home else None,
        wall=time.time(),
    )


def _below_here(root: str) -> Mapping[str, Any]:
    """What `lab.doctor.inside.host` tells, of this very machine."""
    return {"kernel": kernel(), "limits": limits(), "disk": disk(root) if root else None}


def _below(machine: Runs | None) -> Mapping[str, Any]:
    """What it tells of the host below a machine; nothing where there is none, or it does not answer.

    A machine's root is on the engine's disk. That a machine does not answer is another diagnosis.
    """
    nothing: Mapping[str, Any] = {"kernel": {}, "limits": {}, "disk": None}
    if machine is None:
        return nothing
    try:
        done = machine.run(program(inside, "host", "/"), within=LOOK.seconds)
        found: Mapping[str, Any] = json.loads(done.text)
    except (LabError, ValueError):
        return nothing
    return found


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
        if item.subnets and not item.of_swarm:  # which has its bridge in a namespace of its own
            yield Bridge(item.labels[NAME], f"br-{item.id[:12]}", item.underlay)


def _own_limits() -> dict[str, int | None]:
    """Of inotify, whose instances only the host counts, and of this process."""
    return {
        "inotify_instances": number("/proc/sys/fs/inotify/max_user_instances"),
        "inotify_used": _inotify_used() if os.geteuid() == 0 else None,
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
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
    pid = text(str(DOCKERD_PIDFILE))
    lines = text(f"/proc/{pid}/status").splitlines() if pid.isdigit() else []
    sets = [int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:")]
    for name in MACHINE.capabilities if sets else ():
        if not sets[0] >> CAPABILITIES[name] & 1:
            yield name
