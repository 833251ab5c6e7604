"""Search with each backend in turn, for as long as SOAK says (10m); what is found first ends it."""

import itertools
import json
import os
import random
import sys
import time
from contextlib import closing

from lab import spec
from lab.engine import Engine
from lab.faults.options import duration
from lab.progress import on_terminal
from lab.pytest_plugin.labs import temporary_lab
from lab.render import soak as render
from lab.soak.generate import draw_round
from lab.soak.search import search

SECONDS = duration(os.environ.get("SOAK", "10m"))
MASTER = [{"name": "m", "role": "master", "host": 10}]
MINIONS = [{"name": name, "role": "minion", "host": 11 + number} for number, name in enumerate("abc")]
MEMBERS = [
    {"name": name, "services": ["etcd", "flanneld", "docker"], "host": 11 + number}
    for number, name in enumerate("abc")
]
LABS = {"udp": [*MASTER, *MINIONS], "vxlan": [*MASTER, *MINIONS], "host-gw": [*MASTER, *MINIONS]}


def lab_file(backend: str, nodes: object) -> spec.LabSpec:
    """Without pods: MySQL's start takes longer than a round."""
    config = {"Network": "10.8.0.0/16", "Backend": {"Type": backend}}
    return spec.load(
        json.dumps({"name": "soak", "nodes": nodes, "flannel": {"config": config}, "pods": []}), "soak.yaml"
    )


def main() -> int:
    seed = random.randrange(10**6)
    wanted = {name: lab_file(name, nodes) for name, nodes in LABS.items()}
    wanted["vxlan, three members of etcd"] = lab_file("vxlan", MEMBERS)
    with closing(Engine.connect()) as engine, on_terminal() as progress:
        for name, described in wanted.items():
            progress.note(f"{name}, seed {seed}")
            deadline = time.monotonic() + SECONDS
            with temporary_lab(engine, described) as outcome:
                rounds = (draw_round(seed, number, described) for number in itertools.count())
                for found in search(outcome.lab, rounds, progress):
                    progress.note(render.line(found))
                    if found.violations:
                        sys.stdout.write(render.report([found]) + "\n")
                        return 1
                    if time.monotonic() >= deadline:
                        break
    return 0


sys.exit(main())
