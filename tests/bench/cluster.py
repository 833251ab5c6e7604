"""The laboratory: how long it takes to come up and to go, by phase, and how large it is."""

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import click

from lab import lock, spec
from lab.cluster import Lab, lifecycle, remove_all
from lab.engine import Engine
from lab.events import Event, Reporter, StepEnded
from tests.bench.report import line

NAME = "bench"
ROOT = Path(__file__).parent.parent.parent

# Run on a minion whose flanneld and docker are stopped. Prints, for each round, the seconds from fork to
# READY=1 (sd_notify(3)) and the resident memory in MB a moment later (VmRSS, proc(5)).
READY_PROBE = """
import os, signal, socket, subprocess, sys, tempfile, time
for _ in range(int(sys.argv[1])):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "notify")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(path)
        listener.settimeout(30)
        began = time.monotonic()
        daemon = subprocess.Popen(
            ["/usr/bin/flanneld", "-etcd-endpoints=" + sys.argv[2], "-iface=eth0"],
            env={**os.environ, "NOTIFY_SOCKET": path}, stderr=subprocess.DEVNULL)
        while b"READY=1" not in listener.recv(4096):
            pass
        ready = time.monotonic() - began
        status = open(f"/proc/{daemon.pid}/status").read()
        rss = int(status.partition("VmRSS:")[2].split()[0])
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        print(ready, rss / 1000)
"""


class Phases:
    """Collects how long each step took, over all rounds."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def __call__(self, event: Event) -> None:
        """Listen."""
        if isinstance(event, StepEnded):
            self.seconds[event.name].append(event.seconds)


def warm(engine: Engine, rounds: int) -> None:
    """`lab up` and `lab down` with every image present."""
    up, down, phases = [], [], Phases()
    with lock.held(engine.id, NAME):
        for number in range(rounds):
            began = time.monotonic()
            lifecycle.build(engine, spec.tutorial().with_name(NAME), Reporter(phases), finish=True)
            up.append(time.monotonic() - began)
            if number == rounds - 1:
                verbs(rounds)
                daemon(Lab.get(engine, NAME), rounds)
            began = time.monotonic()
            list(remove_all(engine, NAME))
            down.append(time.monotonic() - began)
    line("lab up, warm, to both logins", up, "s", "target <= 6")
    for name, seconds in phases.seconds.items():
        line(f"    {name}", seconds, "s")
    line("lab down", down, "s", "target <= 1.5")


def ten_minions() -> spec.LabSpec:
    """A lab of ten minions and their master, without pods."""
    minions = [{"name": f"minion{number}", "role": "minion", "host": 10 + number} for number in range(1, 11)]
    nodes = [{"name": "master", "role": "master", "host": 10}, *minions]
    return spec.load(json.dumps({"name": NAME, "nodes": nodes, "pods": []}), "ten minions")


def many(engine: Engine, rounds: int) -> None:
    """`lab up` of ten minions."""
    seconds = []
    with lock.held(engine.id, NAME):
        for _ in range(rounds):
            began = time.monotonic()
            lifecycle.build(engine, ten_minions(), Reporter())
            seconds.append(time.monotonic() - began)
            list(remove_all(engine, NAME))
    line("lab up, warm, ten minions without pods", seconds, "s", "target <= 20")


VERBS = {
    ("status",): "target <= 0.3",
    ("doctor",): "target <= 2",
    ("trace", "mysql01", "mysql02"): "target <= 3",
    ("trace", "mysql01", "mysql02", "--port", "3306"): "target <= 3",
}
"""What is asked of a lab that is right, from the shell."""


def verbs(rounds: int) -> None:
    """How long those take that look at a lab."""
    for words, target in VERBS.items():
        seconds = []
        for _ in range(rounds):
            began = time.monotonic()
            argv = [sys.executable, "-m", "lab", *words, "--name", NAME]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            seconds.append(time.monotonic() - began)
            if done.returncode != 0:
                raise click.ClickException(f"{' '.join(argv)} failed:\n{done.stdout}{done.stderr}")
        line(f"lab {' '.join(words)}", seconds, "s", target)


def daemon(lab: Lab, rounds: int) -> None:
    """flanneld's start and memory, on a minion of a lab that is up."""
    node = lab.minions[0]
    node.run(["systemctl", "stop", "docker.socket", "docker", "flanneld"])
    endpoint = f"http://{lab.running('etcd')[0].name}:2379"
    output = node.run(["python3", "-", str(rounds), endpoint], stdin=READY_PROBE.encode()).text
    figures = [[float(word) for word in row.split()] for row in output.splitlines()]
    line("flanneld, start to READY", [row[0] for row in figures], "s", "target <= 0.7")
    line("flanneld, resident memory", [row[1] for row in figures], "MB", "target <= 60")


def whole(name: str, argv: Sequence[str], target: str) -> None:
    """One run of a whole command."""
    began = time.monotonic()
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    line(name, [time.monotonic() - began], "s", target)
    if done.returncode != 0:
        raise click.ClickException(f"{' '.join(argv)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def folder_size(folder: Path) -> int:
    """The bytes of all regular files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
