"""The machine that `lab` runs on: finding a Docker engine, or installing and starting one."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import apt, labels, programs, wait
from lab.deadlines import ENGINE_ENDS, ENGINE_STARTS
from lab.engine import Engine, EngineUnavailable, remedy_elsewhere
from lab.errors import LabError, Unfit
from lab.events import Reporter

__all__ = ["Facts", "Remedy", "ensure_engine", "is_debian_like", "remedy", "start_engine", "stop_engine"]

LOG = Path("/var/log/overlay-lab-dockerd.log")
PIDFILE = Path("/var/run/docker.pid")
CONTAINERD_PIDFILE = Path("/var/run/docker/containerd/containerd.pid")
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides how an engine can be had."""

    root: bool
    debian: bool
    dockerd: bool
    systemd: bool
    named: str
    """Who has named another engine than this machine's own; else empty."""
    seen: str
    """Why no engine answers."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What would bring up an engine; `do` says whether the lab may do it itself."""

    do: bool
    install: bool
    start: tuple[str, ...]
    advice: str


def remedy(facts: Facts) -> Remedy:
    """Decide what to do when no engine answers."""
    start = (
        ("systemctl", "start", "docker")
        if facts.systemd
        else ("dockerd", "--label", labels.ENGINE_IS_OURS, "--pidfile", str(PIDFILE))
    )
    if advice := remedy_elsewhere(facts.named, facts.seen):
        return Remedy(False, False, start, advice)
    install = not facts.dockerd
    if install and not facts.debian:
        advice = "Install Docker (https://docs.docker.com/engine/install/) and start it."
        return Remedy(False, True, start, advice)
    commands = ["apt-get update", "apt-get install -y docker.io"] if install else []
    commands.append(" ".join(start) + ("" if facts.systemd else f" >{LOG} 2>&1 &"))
    advice = "As root:\n" + "\n".join(f"    {command}" for command in commands)
    return Remedy(facts.root, install, start, advice)


def is_debian_like(os_release: str) -> bool:
    """Whether this text of /etc/os-release (os-release(5)) is Debian's, Ubuntu's or a relative's."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    names = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "")
    return bool({"debian", "ubuntu"} & set(names.split()))


def packages(apparmor: str) -> Sequence[str]:
    """What an engine consists of: Debian's package, and what that only recommends and cannot do without.

    `apparmor` is what the kernel says in `APPARMOR`.
    """
    needed = ["docker.io", "ca-certificates"]  # for pulls
    if apparmor.startswith("Y"):
        needed.append("apparmor")  # for any container: Docker 20.10 loads a profile with its apparmor_parser
    return needed


def look(seen: str = "", named: str = "") -> Facts:
    """Look at this machine."""
    release = Path("/etc/os-release")
    return Facts(
        root=os.geteuid() == 0,
        debian=release.exists()
        and is_debian_like(release.read_text())
        and shutil.which("apt-get") is not None,
        dockerd=shutil.which("dockerd") is not None,
        systemd=Path("/run/systemd/system").is_dir(),
        named=named,
        seen=seen,
    )


def ensure_engine(progress: Reporter) -> Engine:
    """The engine, installed and started first where none answers and this machine allows it.

    Raises `Unfit` with the exact commands otherwise.
    """
    try:
        return Engine.connect()
    except EngineUnavailable as error:
        facts = look(error.message, error.named)
    plan = remedy(facts)
    if not plan.do:
        raise Unfit(facts.seen, hint=plan.advice)
    if plan.install:
        with progress.step("install docker.io") as within:
            apparmor = APPARMOR.read_text() if APPARMOR.exists() else ""
            apt.install(*packages(apparmor), busy=within.note)
    with progress.step("start the Docker engine"):
        return start_engine(plan.start)


def start_engine(argv: tuple[str, ...]) -> Engine:
    """One that is started so, once it answers. Raises `Unfit` with its last words where it ends."""
    if argv[0] == "systemctl":
        done = programs.run(argv, within=ENGINE_STARTS.seconds)
        if done.returncode != 0:
            raise Unfit(
                f"exit status {done.returncode} from: {shlex.join(argv)}: {done.stderr.strip()}",
                hint="See: journalctl -u docker",
            )
        return wait.until(_answers, what="the Docker engine", timeout=ENGINE_STARTS.seconds)
    for pidfile in (PIDFILE, CONTAINERD_PIDFILE):
        _forget_dead(pidfile)
    try:
        log = LOG.open("ab")
    except OSError as error:
        raise Unfit(f"cannot write the engine's log {LOG}: {error.strerror}") from error
    with log:
        # A session of its own: neither Ctrl-C here nor the end of this terminal reaches the engine.
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )

    def answers() -> Engine | wait.NotYet:
        # Another that was started at the same time was quicker: then ours ends, and that one is waited for.
        if process.poll() is not None and _owner(PIDFILE) != "dockerd":
            tail = "\n".join(LOG.read_text(errors="replace").splitlines()[-5:])
            raise Unfit(f"dockerd ended with exit status {process.returncode}; its log {LOG} ends:\n{tail}")
        return _answers()

    return wait.until(
        answers, what="the Docker engine", timeout=ENGINE_STARTS.seconds, hint=f"Its log: {LOG}"
    )


def _answers() -> Engine | wait.NotYet:
    try:
        return Engine.connect()
    except EngineUnavailable as error:
        return wait.NotYet(error.message)


def _process_name(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def _forget_dead(pidfile: Path) -> None:
    """Remove a pid file whose process is gone: dockerd refuses to start if another has that number now."""
    if pidfile.exists() and _owner(pidfile) not in {"dockerd", "containerd", "docker-containerd"}:
        pidfile.unlink()


def _owner(pidfile: Path) -> str | None:
    """The name of the process that a pid file tells of, if there is one."""
    text = pidfile.read_text().strip() if pidfile.exists() else ""
    return _process_name(int(text)) if text.isdigit() else None


def stop_engine() -> str:
    """End the engine if the lab started it; answers what was done, in a sentence."""
    try:
        engine = Engine.connect()
    except EngineUnavailable as error:
        if remedy_elsewhere(error.named, error.message):
            raise
        return "No engine answers: nothing to stop."
    if labels.ENGINE_IS_OURS not in engine.labels:
        raise LabError(
            "this engine was not started by the lab, so it is left running",
            hint="End it the way it was started, such as: systemctl stop docker",
        )
    up = sorted({item.labels[labels.NAME] for item in engine.containers([labels.NAME])})
    if up:
        raise LabError(f"these labs are still there: {', '.join(up)}", hint="First: lab down --name NAME")
    pid = int(PIDFILE.read_text())
    os.kill(pid, signal.SIGTERM)

    def gone() -> bool | wait.NotYet:
        name = _process_name(pid)
        return True if name != "dockerd" else wait.NotYet(f"process {pid} ({name}) is still there")

    wait.until(gone, what="dockerd to end", timeout=ENGINE_ENDS.seconds, hint=f"Its log: {LOG}")
    return f"The engine (process {pid}) has ended. Images and volumes stay on disk."
