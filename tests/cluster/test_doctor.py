"""`lab doctor` on a real lab: nothing to mend while all is well, and harm by its name while there is some."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lab.cluster import Lab
from lab.doctor.gather import gather
from lab.doctor.model import Diagnosis, Severity
from lab.doctor.registry import diagnose
from lab.faults import control
from tests.cluster.judging import wait_until_right
from tests.schemas import problems

pytestmark = pytest.mark.cluster

MASTER, ONE, TWO = "centos-master", "centos-minion01", "centos-minion02"


@pytest.fixture(scope="module", autouse=True)
def _as_found(lab: Lab) -> Iterator[None]:
    """The lab is shared: when the stories are told, every check holds."""
    yield
    wait_until_right(lab)


@pytest.fixture(autouse=True)
def _ended(lab: Lab) -> Iterator[None]:
    """However a story ends, nothing of it is in force afterwards."""
    yield
    control.clear(Lab.get(lab.engine, lab.name))


def looked_at(lab: Lab) -> list[Diagnosis]:
    return diagnose(gather(Lab.get(lab.engine, lab.name), f" --name {lab.name}"))


def to_mend(lab: Lab) -> list[tuple[str, str]]:
    return [(item.id, item.subject) for item in looked_at(lab) if item.severity is Severity.MEND]


def test_there_is_nothing_to_mend_in_a_lab_in_which_every_check_holds(lab, run_lab):
    wait_until_right(lab)
    assert to_mend(lab) == []
    done = run_lab("doctor", "--name", lab.name, "--json")
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert problems("doctor", document) == []
    mend = [item for item in document["diagnoses"] if item["severity"] == "mend"]
    # What is wrong with whatever host runs the tests is for its owner to mend.
    assert [item for item in mend if item["subject"] != "host"] == []
    assert done.returncode == (1 if mend else 0)


@pytest.mark.parametrize(
    ("fault", "targets", "options", "identifier", "evidence"),
    [
        ("unit-pause", [f"{ONE}/flanneld"], {}, "unit.paused", "state T"),
        ("ip-forward-off", [ONE], {}, "kernel.ip-forward", "net.ipv4.ip_forward = 0"),
        pytest.param(
            "pmtu-blackhole", [ONE], {}, "firewall.packet-too-big", "icmp", marks=pytest.mark.thorough
        ),
        pytest.param(
            "disk-read-only", [ONE], {}, "disk.flannel", "Read-only file system", marks=pytest.mark.thorough
        ),
        ("loss", [ONE], {}, "queue.", "eth0"),
        pytest.param(
            "node-pause", [TWO], {}, "machine.silent", "its container is paused", marks=pytest.mark.thorough
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "-" in value else "",
)
def test_harm_is_named_with_its_evidence(
    lab: Lab, fault: str, targets: list[str], options: Mapping[str, Any], identifier: str, evidence: str
) -> None:
    with lab.fault(fault, *targets, **options):
        found = [item for item in looked_at(lab) if item.id.startswith(identifier)]
        assert found
        assert found[0].severity is Severity.MEND
        assert found[0].subject == targets[0].partition("/")[0]
        assert evidence in "\n".join(line for item in found for line in item.evidence)
    wait_until_right(Lab.get(lab.engine, lab.name))


@pytest.mark.thorough
def test_the_command_that_the_doctor_names_mends_it(lab, run_lab):
    """A rule of nftables that drops everything: `lab check` sees the packets that are lost, and not why."""
    with lab.fault("forward-drop", ONE, everything=True):
        found = [item for item in looked_at(lab) if item.severity is Severity.MEND]
        assert [(item.id, item.subject) for item in found] == [("firewall.forward", ONE)]
        for command in found[0].fix:
            assert run_lab(*shlex.split(command)[1:]).returncode == 0
        assert to_mend(lab) == []
    junk = f"{lab.spec.etcd_prefix}/subnets/not-a-subnet"
    with lab.fault("etcd-bad-key"):
        (key,) = [item for item in looked_at(lab) if item.id == "lease.bad-key"]
        assert key.subject == junk
        assert run_lab(*shlex.split(key.fix[0])[1:]).stdout == "1\n"
        assert to_mend(lab) == []
