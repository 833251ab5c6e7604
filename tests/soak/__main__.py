"""Search with each backend, with one member of etcd and with three, for as long as SOAK says (10m) each.

What is found in a lab ends its search; the others go on. The seed is SEED, or a new one. Arguments are words
that the titles of labs have to contain, such as vxlan, or "three members".
"""

import itertools
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from contextlib import closing

import yaml

from lab import spec
from lab.engine import Engine
from lab.faults.options import duration
from lab.progress import on_terminal
from lab.pytest_plugin.labs import temporary_lab
from lab.render import soak as render
from lab.soak.generate import draw_round
from lab.soak.search import search
from tests.lab.manifests import TUTORIAL_POD

SECONDS = duration(os.environ.get("SOAK", "10m"))
MASTER = {"name": "m", "role": "master", "host": 10}
MINIONS = [{"name": name, "role": "minion", "host": 11 + number} for number, name in enumerate("abc")]
MEMBERS = [
    {"name": name, "services": ["etcd", "flanneld", "docker"], "host": 11 + number}
    for number, name in enumerate("abc")
]
CLUSTERS = {"one member of etcd": [MASTER, *MINIONS], "three members of etcd": MEMBERS}
BACKENDS = ("udp", "vxlan", "host-gw")


def lab_file(backend: str, nodes: object) -> spec.LabSpec:
    """With one MySQL server, which every machine appends to."""
    pod = yaml.safe_load(TUTORIAL_POD)
    pod["spec"]["nodeName"] = "a"
    flannel = {
        "options": ["-iface=eth0", "-healthz-port=8290"],
        "config": {"Network": "10.8.0.0/16", "Backend": {"Type": backend}},
    }
    return spec.load(
        json.dumps({"name": "soak", "nodes": nodes, "flannel": flannel, "pods": [pod]}), "soak.yaml"
    )


def main(words: Sequence[str]) -> int:
    seed = int(os.environ.get("SEED") or random.randrange(10**6))
    failed = False
    with closing(Engine.connect()) as engine, on_terminal() as progress:
        for (members, nodes), backend in itertools.product(CLUSTERS.items(), BACKENDS):
            title = f"{backend}, {members}"
            if not all(word in title for word in words):
                continue
            described = lab_file(backend, nodes)
            progress.note(f"{title}, seed {seed}")
            deadline = time.monotonic() + SECONDS
            with temporary_lab(engine, described) as outcome:
                rounds = (draw_round(seed, number, described) for number in itertools.count())
                for found in search(outcome.lab, rounds, progress):
                    progress.note(render.line(found))
                    if found.violations:
                        sys.stdout.write(render.report([found]) + "\n")
                        failed = True
                        break
                    if time.monotonic() >= deadline:
                        break
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
