"""The search for bugs on a real lab: what holds holds, and what does not is seen."""

import json
import os
import re
import signal
from contextlib import nullcontext
from ipaddress import IPv4Interface

import pytest
import yaml

from lab import spec, threads, wait
from lab.cli.group import run
from lab.cluster import Lab
from lab.events import Reporter
from lab.faults import control
from lab.observe import PASSWORD
from lab.observe.parse import parse_environment
from lab.pytest_plugin.labs import temporary_lab
from lab.soak import schedule
from lab.soak.invariants import is_whole, violations
from lab.soak.play import play
from lab.soak.schedule import Entry, Round, Schedule
from lab.soak.settle import settle
from lab.soak.timeline import events
from lab.soak.workload import DATAGRAMS, PORTS
from tests.lab.manifests import TUTORIAL_POD
from tests.unpacked import raw, unpacked

pytestmark = pytest.mark.cluster

POD = yaml.safe_load(TUTORIAL_POD)
POD["spec"]["nodeName"] = "a"
LAB = {
    "name": "soak",
    "nodes": [
        {"name": "m", "role": "master", "host": 10},
        {"name": "a", "role": "minion", "host": 11},
        {"name": "b", "role": "minion", "host": 12},
    ],
    "flannel": {
        "options": ["-iface=eth0", "-healthz-port=8290"],
        "config": {"Network": "10.8.0.0/16", "Backend": {"Type": "vxlan"}},
    },
    "pods": [POD],
}
FIXED = Round(
    faults=(
        Entry(at=0.2, fault="etcd-stop", targets=("m",), lasts=2),
        Entry(at=0.8, fault="daemon-kill-9", targets=("a",)),
        Entry(at=1.0, fault="node-pause", targets=("b",), lasts=1),
    )
)


WANTED = spec.load(json.dumps(LAB), "soak.yaml")


@pytest.fixture(scope="module")
def small(engine):
    with temporary_lab(engine, WANTED) as outcome:
        yield outcome.lab


@pytest.mark.thorough
def test_in_a_fixed_round_everything_holds_and_every_fault_is_on_the_time_line(small):
    evidence = play(small, FIXED, Reporter())
    assert [item.describe() for item in violations(small.spec, evidence)] == []
    told = {(event.node, event.kind, event.text) for event in events(evidence)}
    assert {
        ("m", "fault", "etcd-stop begins"),
        ("m", "fault", "etcd-stop ends"),
        ("a", "fault", "daemon-kill-9 is done"),
        ("a", "ready", "does not answer"),
        ("a", "ready", "200 flanneld is ready"),
    } <= told
    assert [item.entry.fault for item in evidence.applied] == ["etcd-stop", "daemon-kill-9", "node-pause"]
    assert all(item.began >= item.entry.at for item in evidence.applied)
    assert all(subnet for subnet in (evidence.subnets_before or {}).values())


@pytest.mark.thorough
def test_what_is_lost_by_a_fault_that_the_schedule_does_not_know_is_a_violation(small):
    quiet = Round(faults=(Entry(at=3, fault="etcd-compact"),))
    control.start(small, "loss", ["a"], {"share": "40%"})  # which the end of the round ends
    evidence = play(small, quiet, Reporter())
    assert control.status(small).faults == ()
    found = {(item.kind, item.subject) for item in violations(small.spec, evidence)}
    assert ("flow", "a -> b") in found


@pytest.mark.thorough
def test_machines_write_down_what_becomes_of_a_lease_and_the_subnet_that_follows_it(small):
    stolen = Round(faults=(Entry(at=0.2, fault="lease-steal", targets=("b",), lasts=3),))
    evidence = play(small, stolen, Reporter())
    assert [item.describe() for item in violations(small.spec, evidence)] == []
    assert is_whole(evidence)
    had, has = evidence.subnets_before["b"], evidence.subnets_after["b"]
    assert had != has
    told = [(event.kind, event.text) for event in events(evidence) if event.node in {"", "b"}]
    key = f"/coreos.com/network/subnets/{IPv4Interface(had).network}".replace("/24", "-24")
    assert ("etcd", f"{key} is deleted") in told  # by the end of the fault
    assert any(kind == "etcd" and text.startswith(f"{key} = ") and "192.0.2.1" in text for kind, text in told)
    first = IPv4Interface(has).network.network_address
    assert any(kind == "address" and f"flannel.1 inet {first}/" in text for kind, text in told)
    assert any(kind == "subnet.env" and f"FLANNEL_SUBNET={has}" in text for kind, text in told)


PANICS = "[Service]\nExecStartPre=/bin/echo panic: as one of Go\n"
DROP_IN = "/run/systemd/system/flanneld.service.d/panics.conf"


@pytest.fixture
def panicking(small):
    """The lab, whose flanneld on `a` says at each start that it has panicked."""
    node = small.node("a")
    write = 'mkdir -p "${0%/*}" && printf %s "$1" > "$0" && systemctl daemon-reload'
    node.run(["sh", "-c", write, DROP_IN, PANICS])
    yield small
    node.run(["sh", "-c", 'rm "$0" && systemctl daemon-reload', DROP_IN])


@pytest.mark.thorough
def test_a_search_that_finds_something_leaves_a_bundle_with_all_that_is_known_of_the_round(
    panicking, tmp_path, monkeypatch, capsys
):
    planned = Schedule(rounds=(Round(faults=(Entry(at=1, fault="daemon-restart", targets=("a",)),)),))
    (tmp_path / "schedule.yaml").write_text(schedule.written(planned))
    monkeypatch.setattr("lab.cli.soak.lock.held", lambda *_: nullcontext())  # which who made the lab has
    into = ["--bundle", str(tmp_path / "why.tar.gz"), "--tries", "0", "--json"]
    assert run(["soak", "--name", panicking.name, "--replay", str(tmp_path / "schedule.yaml"), *into]) == 1
    (told,) = json.loads(capsys.readouterr().out)["rounds"]
    assert [(item["kind"], item["subject"]) for item in told["violations"]] == [("panic", "a")]

    found, files = unpacked(tmp_path / "why.tar.gz"), raw(tmp_path / "why.tar.gz")
    listed = {item["path"]: item for item in json.loads(found["contents.json"])["files"]}
    assert listed.keys() == files.keys() - {"index.html", "contents.json"}
    assert [path for path, item in listed.items() if item["size"] != len(files[path])] == []
    assert found["why.txt"] == "lab soak: round 1 did not hold (panic): daemon-restart\n"

    # What was done, and what came of it.
    assert schedule.read(_written(tmp_path, found["soak/schedule.yaml"])) == planned
    assert "panic: a: expected no program that panics; seen: panic: as one of Go" in found["soak/round.txt"]
    assert re.search(r"(?m)^ *1\.\d+ +a +fault +daemon-restart is done$", found["soak/timeline.txt"])
    assert re.search(r"(?m)^ *\d+\.\d+ +a +log +echo: panic: as one of Go$", found["soak/timeline.txt"])
    assert re.search(r"(?m)^\S+ \S+ a .*panic: as one of Go$", found["timeline.log"])
    assert json.loads(found["faults.json"])["faults"] == []  # all had been ended by then
    assert {item["kind"] for item in json.loads(found["checks.json"])["findings"]} == {"pass"}

    # The machines, and what the search itself has sent between them.
    assert "panic: as one of Go" in found["nodes/a/journal/flanneld.log"]
    assert json.loads(found["nodes/m/etcd/keys.json"])["keys"]
    for name in panicking.nodes:
        assert listed[f"nodes/{name}/network/links.txt"]["exitStatus"] == 0
        assert f"packets/{name}-eth0.pcap" in files
    far = parse_environment(found["nodes/b/flannel/subnet.env"])["FLANNEL_SUBNET"]
    assert f" > {IPv4Interface(far).ip}.{PORTS[DATAGRAMS]}: " in found["packets/a-eth0.log"]

    assert "soak/timeline.txt" in found["index.html"]
    (password,) = {pod.environment[PASSWORD] for pod in WANTED.pods}
    assert [path for path, text in found.items() if password in text] == []


def _written(folder, text):
    path = folder / "again.yaml"
    path.write_text(text)
    return path


@pytest.mark.thorough
def test_a_row_that_a_server_forgets_is_told(small):
    def mysql(statements: str) -> str:
        argv = ["mysql", "-uroot", "-pp123456", f"--execute={statements}", "--batch"]
        said = small.node("a").run(["docker", "exec", "mysql01_mysql01", *argv], check=False)
        return str(said.text)

    def forget() -> None:
        wait.until(forgotten, what="a row to be there and to be deleted", timeout=120)

    def forgotten() -> bool | wait.NotYet:
        deleted = "DELETE FROM lab_soak.appended WHERE client = 'b' AND number = 3"
        said = mysql(f"{deleted}; SELECT ROW_COUNT()")
        return said.split()[-1:] == ["1"] or wait.NotYet(said)

    mysql("DROP DATABASE IF EXISTS lab_soak")  # or it would be the row of an earlier round
    forgetting = threads.start(forget)
    evidence = play(small, Round(faults=(Entry(at=4, fault="etcd-compact"),)), Reporter())
    forgetting.result()
    assert [item.describe() for item in violations(small.spec, evidence)] == [
        "mysql01: expected every row that it has acknowledged; "
        "seen: of those that b appended, 3 are not there"
    ]


@pytest.fixture
def interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.thorough
def test_a_round_that_is_called_off_ends_what_is_in_force_and_begins_no_other_fault(small, interruptible):
    planned = Round(
        faults=(
            Entry(at=0, fault="delay", targets=("a",), options={"time": "1ms"}, lasts=600),
            Entry(at=0, fault="node-pause", targets=("b",), lasts=600),
            Entry(at=600, fault="etcd-wipe"),
        )
    )

    def under_way() -> bool | wait.NotYet:
        found = {fault.name for fault in control.status(Lab.get(small.engine, small.name)).faults}
        return found == {"delay", "node-pause"} or wait.NotYet(found)

    def interrupt() -> None:
        try:
            wait.until(under_way, what="two faults to be in force", timeout=120)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    interrupting = threads.start(interrupt)
    with pytest.raises(KeyboardInterrupt):
        play(small, planned, Reporter())
    interrupting.result()
    now = Lab.get(small.engine, small.name)
    assert control.status(now).faults == ()
    assert now.missing == ()
    assert [item.id for item in settle(now, 60)] == []
