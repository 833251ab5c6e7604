"""`lab bench` itself, as short as it can be: what it prints, and that it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lab.engine import Engine
from lab.labels import NAME
from tests.processes import running
from tests.schemas import problems

pytestmark = pytest.mark.kernel

# A flanneld that says its version and then that it cannot: a way that is not here.
REFUSES = """\
#!/bin/sh
test "$1" = -version && echo v0.20.99 && exit
echo 'F1123 10:00:00.000000 00042 main.go:1] this kernel has no such device' >&2
exit 1
"""


def bench(output: Path, *options: str, **environment: str) -> AbstractContextManager["subprocess.Popen[str]"]:
    return running(
        [sys.executable, "-m", "lab", "bench", "--rounds=1", f"--output={output}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def benches(engine: Engine) -> Sequence[str]:
    return [item.name for item in engine.containers([NAME]) if item.name.startswith("lab-bench-")]


@pytest.mark.thorough
def test_two_ways_are_measured_to_the_end_and_one_that_is_not_here_says_why(tmp_path, engine):
    flanneld = tmp_path / "flanneld"
    flanneld.write_text(REFUSES)
    ways = [f"--only={way}" for way in ("veth", "udp-plain", "genuine")]
    with bench(
        tmp_path / "out", "--json", "--seconds=1", *ways, FLANNELD_REFERENCE=str(flanneld)
    ) as measuring:
        printed, progress = measuring.communicate()
    assert measuring.returncode == 0, progress

    read = json.loads(printed)
    assert read == json.loads((tmp_path / "out" / "bench.json").read_text())
    assert problems("bench", read) == []
    assert {item["name"]: item["absent"] for item in read["ways"]} == {
        "veth": None,
        "udp-plain": None,
        "genuine-0.20.99": "this kernel has no such device",
    }
    measured = {(item["way"], item["metric"], item["place"]): item["median"] for item in read["figures"]}
    for place in ("host to host", "container to container"):
        for way in ("veth", "udp-plain"):
            assert measured[way, "TCP, 1 stream", place] > 0
            assert measured[way, "64-byte UDP received", place] > 0
            assert measured[way, "round trip, median", place] > 0
        # A daemon carries every packet of the one way, and none of the other.
        assert measured["udp-plain", "CPU of both daemons, TCP, 1 stream", place] > 0
        assert measured["veth", "CPU of both daemons, TCP, 1 stream", place] == 0
    assert measured["udp-plain", "no traffic after kill -9 and a restart", "container to container"] > 0
    assert [item["equal"] for item in read["integrity"]] == [True, True]
    assert read["checksumErrors"] == {"veth": 0, "udp-plain": 0}
    assert read["failures"] == []
    for name in ("bench.svg", "bench.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0


@pytest.mark.thorough
def test_a_run_that_is_interrupted_in_the_middle_leaves_nothing_behind(tmp_path, engine):
    before = set(benches(engine))
    with bench(tmp_path, "--only=udp-plain", "--seconds=30") as measuring:
        assert measuring.stderr is not None
        for line in measuring.stderr:  # its first measurement begins with the next thing it does
            if "minutes" in line:
                break
        (name,) = set(benches(engine)) - before
        measuring.send_signal(signal.SIGINT)
        _, said = measuring.communicate()
    assert measuring.returncode == 130, said
    assert name not in benches(engine)
