"""Schedules that a search has found and shrunk, played with the genuine flannels that they were found in.

Which genuine ones there are, FLANNELD_REFERENCE says (tests/cluster/reference.py). Without it these tests are
skipped. docs/soak.md tells what is wrong with each.
"""

import json

import pytest

from lab import spec
from lab.events import Reporter
from lab.pytest_plugin.labs import temporary_lab
from lab.soak.invariants import violations
from lab.soak.play import play
from lab.soak.schedule import Entry, Round
from tests.cluster.reference import WITHOUT, Reference, references

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]

FOUND = {
    # It never looks at its own key again.
    "v2": (Round(faults=(Entry(at=0, fault="etcd-wipe"),)), "stray"),
    # A renewal writes whatever is there.
    "v3": (Round(faults=(Entry(at=0, fault="lease-steal", targets=("a",), lasts=5),)), "overwrite"),
}


def lab_file(reference: Reference) -> str:
    nodes = [
        {"name": "m", "role": "master", "host": 10},
        {"name": "a", "role": "minion", "host": 11},
        {"name": "b", "role": "minion", "host": 12},
    ]
    flannel = {
        "config": {"Network": "10.8.0.0/16", "Backend": {"Type": "vxlan"}},
        "etcdApi": reference.etcd_api,
        "options": ["-iface=eth0"],
    }
    flanneld = {"binary": str(reference.path)}
    return json.dumps({"nodes": nodes, "flanneld": flanneld, "flannel": flannel, "pods": []})


@pytest.mark.parametrize(
    "reference",
    [pytest.param(item, id=item.version) for item in references()]
    or [pytest.param(None, marks=pytest.mark.skip(reason=WITHOUT))],
)
def test_a_recorded_schedule_shows_the_same_again(engine, reference):
    planned, kind = FOUND[reference.etcd_api]
    with temporary_lab(engine, spec.load(lab_file(reference), "genuine.yaml")) as outcome:
        evidence = play(outcome.lab, planned, Reporter())
    assert kind in {item.kind for item in violations(outcome.lab.spec, evidence)}
