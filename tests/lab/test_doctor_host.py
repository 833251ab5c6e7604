"""What `lab doctor` says of the host, how it is asked, and the verb itself."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

import pytest

from lab import images
from lab.cli import doctor as verb
from lab.cli.group import run
from lab.cluster import Lab
from lab.doctor import inside
from lab.doctor.host import look_at_host, look_at_hosts
from lab.doctor.host_seen import Bridge, Engine, Host, Image, OtherLab, Route
from lab.doctor.model import Diagnosis, Severity
from lab.doctor.registry import diagnose_host, diagnose_hosts, host_rules
from lab.doctor.seen import Folder
from lab.engine import Engine as DockerEngine
from lab.engine import EngineUnavailable, ExecResult
from lab.errors import LabError
from lab.inside import program
from lab.spec.engine import EngineSpec
from tests.lab.examples import SPEC
from tests.lab.pretended import pretended_world
from tests.lab.rulesets import chain, field, match, net, rule, rules_of
from tests.schemas import problems

GIB = 1 << 30
ENGINE = Engine("20.10.24", "overlay2", "2", here=True, clock_ahead=0.0, root="/var/lib/docker")
UNDERLAY = IPv4Network("192.168.199.0/24")
BRIDGE = Bridge("tutorial", "br-0123456789ab", UNDERLAY)
OWN = Route(UNDERLAY, BRIDGE.name, f"{UNDERLAY} dev {BRIDGE.name}")
KERNEL = (
    *("VETH", "BRIDGE", "OVERLAY_FS", "NF_NAT", "TUN", "VXLAN", "WIREGUARD", "NET_IPIP", "BPF_SYSCALL"),
    *("NET_CLS_ACT", "NET_SCH_TBF", "NET_SCH_NETEM"),
)


class FakeMachine:
    """A machine of the lab, which tells what its host is like."""

    name = "centos-minion01"

    def run(self, argv: Sequence[str], **_: Any) -> ExecResult:
        assert argv[-1] == "/"
        disk = {"read_only": False, "free": 5, "size": 50, "files_free": 6, "files": 60}
        limits = {"memory": 16 * GIB, "memory_available": 8 * GIB, "oom_kills": 2}
        told = {"kernel": {"VETH": True}, "limits": limits, "disk": disk}
        return ExecResult(0, json.dumps(told).encode(), b"")


WELL = Host(
    engine=ENGINE,
    backend="udp",
    wanted=(UNDERLAY,),
    kernel=dict.fromkeys(KERNEL, True),
    inotify_instances=128,
    inotify_used=33,
    files_open=2000,
    files_max=1 << 20,
    limit=1024,
    disk=Folder("/var/lib/docker", True, False, 40 * GIB, 80 * GIB, 900, 1000),
    memory=8 * GIB,
    memory_available=4 * GIB,
    oom_kills=0,
    routes=(OWN, Route(ip_network("10.0.0.0/8"), "tun0", "10.0.0.0/8 dev tun0")),
    bridges=(BRIDGE,),
    bridged_filtered=True,
    rules=rules_of([chain("FORWARD", "forward")]),
    images=(Image("lab-node:1", "current"),),
    labs=(OtherLab("other", "up"), OtherLab("busy", "in use by a running process")),
    newest_source=1000.0,
    wall=2000.0,
)


def found(**changes: Any) -> dict[str, Diagnosis]:
    return {item.id: item for item in diagnose_host(replace(WELL, **changes))}


def test_nothing_is_said_of_a_host_that_is_well() -> None:
    assert found() == {}


def without(*options: str) -> dict[str, bool]:
    return {name: name not in options for name in KERNEL}


def disk(**changes: Any) -> Folder:
    assert WELL.disk is not None
    return replace(WELL.disk, **changes)


VPN = Route(ip_network("192.168.199.128/25"), "tun0", "192.168.199.128/25 dev tun0")

# A diagnosis, what was seen, words of the evidence, and of the command that mends it.
CASES: list[tuple[str, Mapping[str, Any], str, str]] = [
    (
        "host.engine",
        {
            "engine": None,
            "engine_error": "no Docker engine answers",
            "engine_hint": "As root:\n    systemctl start docker",
        },
        "no Docker engine answers",
        "systemctl start docker",
    ),
    ("host.engine", {"engine": None}, "GET /info failed", "lab ls"),
    (
        "host.engine-version",
        {"engine": replace(ENGINE, version="19.03.5")},
        "version: 19.03.5",
        "# https://docs.docker",
    ),
    (
        "host.storage",
        {"engine": replace(ENGINE, driver="vfs")},
        "storage driver: vfs",
        "systemctl restart docker",
    ),
    (
        "host.cgroups",
        {"engine": replace(ENGINE, warnings=("WARNING: No memory limit support",))},
        "WARNING: No memory limit support",
        "# as a parameter of the kernel: cgroup_enable=memory",
    ),
    (
        "host.capabilities",
        {"lacks": ("SYS_ADMIN",)},
        "CapBnd of dockerd: no CAP_SYS_ADMIN",
        "# start the container",
    ),
    (
        "host.kernel",
        {"kernel": without("TUN")},
        "CONFIG_TUN is not set: the backend udp does not work",
        "# boot",
    ),
    (
        "host.kernel",
        {"kernel": without("VETH")},
        "CONFIG_VETH is not set: machines have no network",
        "# boot",
    ),
    (
        "host.kernel-extras",
        {"kernel": without("WIREGUARD")},
        "CONFIG_WIREGUARD is not set: no lab with the backend wireguard",
        "# none",
    ),
    (
        "host.inotify",
        {"inotify_used": 120},
        "fs.inotify.max_user_instances = 128, of which root has 120",
        "sysctl -w fs.inotify.max_user_instances=1024",
    ),
    (
        "host.files",
        {"files_open": (1 << 20) - 5},
        f"fs.file-nr: {(1 << 20) - 5} of {1 << 20}",
        "sysctl -w fs.file-max",
    ),
    ("host.files", {"limit": 64}, "ulimit -n: 64", "ulimit -n 4096"),
    ("host.disk", {"disk": disk(free=GIB // 2)}, "/var/lib/docker: 0.5 GiB of 80.0 GiB free", "lab gc"),
    ("host.disk", {"disk": disk(free=3 * GIB)}, "3.0 GiB of 80.0 GiB free", "lab gc"),
    ("host.disk", {"disk": disk(files_free=10)}, "10 of 1000 inodes free", "lab gc"),
    ("host.disk", {"disk": disk(read_only=True)}, "/var/lib/docker: read-only", "dmesg"),
    ("host.memory", {"memory_available": 100 << 20}, "MemAvailable: 100 MiB of 8192 MiB", "lab ls"),
    ("host.memory", {"memory_available": 500 << 20}, "MemAvailable: 500 MiB of 8192 MiB", "lab ls"),
    ("host.oom", {"oom_kills": 2}, "oom_kill 2", "dmesg"),
    ("host.routes", {"routes": (OWN, VPN)}, "ip route: 192.168.199.128/25 dev tun0", "lab up --underlay"),
    (
        "host.routes",
        {"routes": (VPN,), "bridges": ()},
        "ip route: 192.168.199.128/25 dev tun0",
        "lab up --underlay",
    ),
    (
        "host.firewall",
        {"rules": rules_of([chain("FORWARD", "forward", policy="drop")])},
        "ip filter FORWARD: policy drop",
        "iptables -t filter -P FORWARD ACCEPT",
    ),
    ("host.labs", {"labs": (OtherLab("half", "left over"),)}, "half: left over", "lab gc"),
    ("host.labs", {"labs": (OtherLab("x", "not whole: a (exited)"),)}, "x: not whole", "lab doctor --name x"),
    ("host.images", {"images": (Image("lab-node:0", "stale"),)}, "lab-node:0: stale", "lab images rm"),
    ("host.clock", {"engine": replace(ENGINE, clock_ahead=-90.0)}, "the engine: 90 s behind", "timedatectl"),
    ("host.clock", {"newest_source": 9000.0}, "newest file of lab/: 1970-01-01 02:30:00 UTC", "timedatectl"),
]


@pytest.mark.parametrize(("identifier", "changes", "evidence", "fix"), CASES)
def test_what_is_wrong_with_a_host_is_named_with_its_evidence_and_its_cure(
    identifier: str, changes: Mapping[str, Any], evidence: str, fix: str
) -> None:
    diagnoses = found(**changes)
    assert set(diagnoses) == {identifier}
    one = diagnoses[identifier]
    assert one.subject == "host"
    assert [line for line in one.evidence if evidence in line], one.evidence
    assert [line for line in one.fix if line.startswith(fix)], one.fix


def test_every_diagnosis_of_the_host_has_a_test() -> None:
    assert {rule.id for rule in host_rules()} == {item[0] for item in CASES}


def test_a_limit_that_is_nearly_reached_is_to_be_mended_only_once_nothing_more_boots() -> None:
    assert found(inotify_used=120)["host.inotify"].severity is Severity.NOTE
    assert found(inotify_used=126)["host.inotify"].severity is Severity.MEND


def test_a_kernel_that_does_not_tell_how_it_was_built_is_not_blamed() -> None:
    assert found(kernel={}) == {}


def test_frames_that_pass_no_packet_filter_are_dropped_by_none() -> None:
    rules = rules_of([chain("FORWARD", "forward", policy="drop")])
    assert found(rules=rules, bridged_filtered=False) == {}
    accepted = [chain("FORWARD", "forward", policy="drop")]
    accepted += [rule("FORWARD", match(field("ip", "saddr"), net("192.168.199.0/24")), {"accept": None})]
    assert found(rules=rules_of(accepted)) == {}


def test_a_failing_start_is_explained_by_what_may_be_its_cause_alone() -> None:
    wrong = replace(WELL, images=(Image("a", "stale"),), inotify_used=127, kernel=without("NET_IPIP"))
    assert [item.id for item in diagnose_host(wrong, start=True)] == ["host.inotify"]


def test_the_host_is_asked_and_the_engine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = pretended_world(monkeypatch)
    monkeypatch.setattr(engine, "is_here", True, raising=False)
    monkeypatch.setattr(
        engine,
        "describe",
        lambda: (
            {"Version": "26.1.5", "Driver": "overlay2", "SystemTime": "2026-11-30T13:17:56.605254777Z"}
            | {"DockerRootDir": "/", "CgroupVersion": "2"}
        ),
        raising=False,
    )
    seen = look_at_host(engine.engine, "demo", SPEC)
    assert seen.engine is not None
    assert (seen.engine.version, seen.engine.root) == ("26.1.5", "/")
    assert seen.engine.clock_ahead is not None
    assert seen.disk is not None
    assert seen.disk.size > 0
    assert seen.backend == "udp"
    assert seen.memory is not None
    assert seen.newest_source is not None


def test_an_engine_elsewhere_is_not_judged_by_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = pretended_world(monkeypatch)
    seen = look_at_host(engine.engine, "demo", None)
    assert (seen.here, seen.kernel, seen.disk, seen.routes, seen.memory) == (False, {}, None, (), None)


def test_of_several_engines_each_finding_says_whose_host_it_is_and_where_to_mend_it() -> None:
    far = replace(
        WELL, name="far", here=False, memory_available=GIB // 8, images=(Image("lab-node:0", "stale"),)
    )
    home = replace(WELL, name="home", oom_kills=1)
    told = {item.id: item for item in diagnose_hosts([home, far])}
    assert {item.id: item.subject for item in told.values()} == {
        "host.memory": "host of far", "host.images": "host of far", "host.oom": "host of home"
    }  # fmt: skip
    assert told["host.memory"].fix == (
        "lab ls", "# on the host of the engine far:", "ps -e -o pid,rss,args --sort=-rss | head"
    )  # fmt: skip
    # `lab` asks each engine itself, and the other host is this one.
    assert told["host.images"].fix[0].startswith("lab images rm")
    assert not told["host.oom"].fix[0].startswith("#")


def test_a_host_elsewhere_is_seen_by_way_of_a_machine_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = pretended_world(monkeypatch)
    monkeypatch.setattr(engine, "describe", lambda: {"Version": "26.1.5", "DockerRootDir": "/srv/docker"})
    seen = look_at_host(engine.engine, "demo", SPEC, "far", machine=FakeMachine(), home=False)
    assert (seen.name, seen.here) == ("far", False)
    assert (seen.memory, seen.memory_available, seen.oom_kills) == (16 * GIB, 8 * GIB, 2)
    assert seen.disk == Folder("/srv/docker", True, False, 5, 50, 6, 60)
    assert seen.kernel == {"VETH": True}
    # Only the home knows of labs, and only this host of its own processes and files.
    assert (seen.labs, seen.inotify_instances, seen.limit, seen.newest_source) == ((), None, None, None)


def test_the_program_that_a_machine_is_asked_with_tells_of_the_kernel_memory_and_disk(tmp_path: Path) -> None:
    argv = [sys.executable, *program(inside, "host", str(tmp_path))[1:]]
    told = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    assert told["limits"]["memory"] >= told["limits"]["memory_available"] > 0
    assert told["disk"]["size"] >= told["disk"]["free"] > 0
    assert set(told["kernel"].values()) <= {True, False}


def test_each_engine_of_a_lab_is_looked_at_and_one_that_is_silent_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = pretended_world(monkeypatch)
    home.others["tcp://192.0.2.2:2376"] = EngineUnavailable(
        "no Docker engine answers at tcp://192.0.2.2:2376"
    )
    engines = (EngineSpec(name="home"), EngineSpec(name="far", host="tcp://192.0.2.2:2376"))
    wanted = SPEC.model_copy(update={"engines": engines})
    hosts = look_at_hosts(home.engine, "demo", wanted, None)
    assert [host.name for host in hosts] == ["home", "far"]
    told = {item.subject: item for item in diagnose_hosts(hosts) if item.id == "host.engine"}
    assert told["host of far"].evidence == ("no Docker engine answers at tcp://192.0.2.2:2376",)
    assert "host of home" not in told


def test_the_verb_looks_at_the_host_alone_where_no_engine_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody() -> DockerEngine:
        raise EngineUnavailable("no Docker engine answers at unix:///x", hint="`lab up` starts one")

    monkeypatch.setattr(DockerEngine, "connect", nobody)
    assert run(["doctor", "--name", "demo"]) == 1
    printed = capsys.readouterr()
    assert "MEND  host: no Docker engine answers  [host.engine]\n" in printed.out
    assert "      seen  no Docker engine answers at unix:///x\n" in printed.out
    assert "      fix   # `lab up` starts one\n" in printed.out
    assert printed.err == "There is no lab demo: this is about the host alone.\n"


def test_the_verb_looks_at_a_lab_too_and_prints_its_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = pretended_world(monkeypatch)
    monkeypatch.setattr(DockerEngine, "connect", lambda: engine.engine)
    monkeypatch.setattr(verb, "look_at_hosts", lambda *_: [WELL])
    monkeypatch.setattr(images, "listing", lambda _: ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.host.ensure_engine", lambda _: engine.engine)
        assert run(["up", "--name", "demo"]) == 0
    capsys.readouterr()
    assert run(["doctor", "--name", "demo", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert problems("doctor", document) == []
    assert document["lab"] == "demo"
    assert {item["id"] for item in document["diagnoses"]} == {"machine.silent"}


def test_a_lab_of_another_version_is_told_as_every_verb_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = pretended_world(monkeypatch)
    monkeypatch.setattr(DockerEngine, "connect", lambda: engine.engine)

    def unreadable(*_: object) -> None:
        raise LabError("the lab demo was made by overlay-lab 0.0.1")

    monkeypatch.setattr(Lab, "find", unreadable)
    assert run(["doctor", "--name", "demo"]) == 1
