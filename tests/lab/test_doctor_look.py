"""The program that looks at a machine, what is read of its answer, and how everything is gathered."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lab.doctor import inside
from lab.doctor.gather import gather
from lab.doctor.inside.look import clock_library, look
from lab.doctor.parse import parse_look
from lab.doctor.parse_units import log_time, parse_units
from lab.doctor.questions import of_node
from lab.doctor.registry import diagnose
from lab.doctor.seen import Answer, Filter, Holder, Neighbour, Qdisc
from lab.engine import Command, Ended
from lab.errors import LabError
from lab.inside import program
from lab.observe import Silent
from lab.spec import Flanneld, Program
from tests.lab.doctor_cases import LOOKS, MASTER, ONE
from tests.lab.examples import SPEC, FakeLab, FakeNode, fake_lab

NOTHING: dict[str, Any] = {
    "commands": {},
    "sysctls": [],
    "units": [],
    "folders": [],
    "reach": {},
    "readyz": "",
}
LATE = 0.3
"""Seconds for what never ends."""


def looked(**asked: Any) -> dict[str, Any]:
    return look({**NOTHING, "seconds": 20, **asked})


def test_what_is_late_or_cannot_be_run_holds_up_nothing_else() -> None:
    commands = {
        "said": ["echo", "hello"],
        "much": ["head", "--bytes=300000", "/dev/zero"],
        "failed": ["ls", "/no/such/folder"],
        "late": ["tail", "--follow", "/dev/null"],
        "gone": ["no-such-program"],
    }
    ends = looked(commands=commands, seconds=LATE)["commands"]
    assert ends["said"] == {"exit": 0, "out": "hello\n", "err": ""}
    assert len(ends["much"]["out"]) == 300_000
    assert (ends["failed"]["exit"], "/no/such/folder" in ends["failed"]["err"]) == (2, True)
    assert (ends["late"]["exit"], ends["late"]["err"]) == (124, "no answer in time")
    assert (ends["gone"]["exit"], ends["gone"]["err"]) == (127, "no-such-program: No such file or directory")


def test_settings_and_folders_are_read(tmp_path: Path) -> None:
    seen = looked(sysctls=["kernel/hostname", "no/such"], folders=[str(tmp_path), "/no/such/folder"])
    assert seen["sysctls"] == {"kernel/hostname": Path("/proc/sys/kernel/hostname").read_text().strip()}
    assert seen["folders"][str(tmp_path)]["there"] is True
    assert seen["folders"][str(tmp_path)]["read_only"] is False
    assert seen["folders"]["/no/such/folder"] == {"there": False, "error": "No such file or directory"}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_connection_is_made_or_it_is_said_why_not(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as other:
        closed = other.getsockname()[1]
    reach = {"up": ["127.0.0.1", port], "down": ["127.0.0.1", closed], "unknown": ["no-such-host.invalid", 1]}
    answers = looked(reach=reach)["reach"]
    assert (answers["up"], answers["down"]) == ("", "Connection refused")
    assert answers["unknown"]


class Degraded(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(b"flanneld is not ready yet\n")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def test_a_daemons_own_words_are_kept_whatever_their_status() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Degraded) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/readyz"
        assert looked(readyz=url)["readyz"] == {"status": 503, "text": "flanneld is not ready yet"}
        thread.join()
    assert looked(readyz=url)["readyz"]["status"] == 0


def test_a_preloaded_library_is_told_only_if_it_has_a_clock_of_its_own(tmp_path: Path) -> None:
    """By its table of symbols, not by its name."""
    (tmp_path / "innocent.so").write_bytes(b"\x7fELF clock_gettime_like \0malloc\0")
    (tmp_path / "quiet.so").write_bytes(b"\x7fELF\0__errno\0clock_gettime\0")
    found = {}
    for name in ("innocent", "quiet"):
        # ld.so says that these are no libraries, and goes on.
        environment = {**os.environ, "LD_PRELOAD": str(tmp_path / f"{name}.so")}
        with subprocess.Popen(
            ["cat"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()  # it is cat now
            found[name] = clock_library(process.pid)
            process.stdin.close()
    assert found == {"innocent": "", "quiet": str(tmp_path / "quiet.so")}
    assert clock_library(0) == ""


def test_the_program_runs_on_a_machine_that_has_pythons_library_alone() -> None:
    argument = json.dumps({**NOTHING, "seconds": 5})
    argv = [sys.executable, "-I", *program(inside, "look", argument)[1:]]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["commands"] == {}


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ('{"level":"info","ts":"2026-11-30T13:17:48.578310Z","msg":"x"}', 1_796_044_668.57831),
        ('time="2026-11-30T13:17:56.605254777Z" level=warning', 1_796_044_676.605254),
        ("2026-11-30T14:17:48+01:00 hello", 1_796_044_668.0),
        ("I1130 14:17:48.634362 00050 service.py:45] hello", 1_796_044_668.0),
        ("no time at all", None),
        ("I1130 without a time", None),
        ('{"ts":"2016-12-31T23:59:60Z","msg":"a leap second"}', None),
        ("2026-02-30T00:00:00Z no such day", None),
        ("2026-11-30T13:17:48+99:00 no such zone", None),
        ("I1399 25:61:61.634362 00050 service.py:45] no such time", None),
    ],
)
def test_the_time_of_a_line_is_read_as_etcd_docker_and_flannel_write_it(
    line: str, time: float | None
) -> None:
    assert (
        log_time(line, 1_796_044_700.0, 3600) == pytest.approx(time) if time else log_time(line, 0, 0) is None
    )


def test_a_message_may_have_what_python_takes_for_the_end_of_a_line() -> None:
    """The JSON of journalctl, and what systemctl shows, leave these characters as they are."""
    message = "one\u2028two\u2029three\x85four"
    entry = {"MESSAGE": message, "__REALTIME_TIMESTAMP": "1000000"}
    printed = {
        "units": f"Id=flanneld.service\nStatusText={message}\nMainPID=7\n",
        "log flanneld": json.dumps(entry, ensure_ascii=False) + "\n",
    }
    told = {"boot": 1.0, "zone": 0, "processes": {}, "memory_events": {}}
    unit = parse_units(told, lambda command: printed.get(command, ""))["flanneld"]
    assert (unit.status, unit.pid, unit.log) == (message, 7, (message,))


def test_a_line_without_a_year_is_of_the_nearest_one() -> None:
    new_year = 1_798_761_600.0  # 2027-01-01 00:00:00 UTC
    assert log_time("I1231 23:59:59.000001 1 x] hello", new_year, 0) == new_year - 1


def ends(**outputs: str) -> dict[str, Any]:
    return {name.replace("_", " "): {"exit": 0, "out": text, "err": ""} for name, text in outputs.items()}


SHOWN = """\
MainPID=50
StatusText=serving
Result=success
NRestarts=2
Id=flanneld.service
ActiveState=active
SubState=running
InactiveExitTimestampMonotonic=1070490785
ActiveEnterTimestampMonotonic=1075252147

MainPID=0
Result=exit-code
NRestarts=0
Id=docker.service
ActiveState=failed
SubState=failed
InactiveExitTimestampMonotonic=0
ActiveEnterTimestampMonotonic=0
"""
LINK = {
    "ifname": "eth0",
    "flags": ["BROADCAST", "NO-CARRIER", "UP"],
    "mtu": 1500,
    "address": "02:42:c0:a8:cc:34",
    "linkinfo": {"info_kind": "veth"},
    "xdp": {"mode": 2, "prog": {"id": 5423, "name": "filter"}},
    "addr_info": [
        {"local": "192.168.204.52", "prefixlen": 24, "scope": "global"},
        {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
    ],
}
QDISCS = [
    {"kind": "noqueue", "dev": "lo", "root": True, "options": {}},
    {"kind": "tbf", "dev": "eth0", "parent": "1:1", "options": {"rate": 2500000}},
]
HEAD = {"protocol": "ip", "pref": 700, "kind": "u32", "chain": 0}
REDIRECT = {"kind": "mirred", "mirred_action": "redirect", "direction": "egress", "to_dev": "hole"}
FILTERS = [
    HEAD,
    {**HEAD, "options": {"fh": "800::800", "actions": [REDIRECT]}},
    {**HEAD, "options": {"actions": [{"kind": "gact", "control_action": {"type": "drop"}}]}},
    {**HEAD, "options": {"actions": [{"kind": "gact", "control_action": {"type": "pass"}}]}},
]
SOCKETS = """\
udp   UNCONN 0      0      192.168.204.52:8285  0.0.0.0:* users:(("flanneld",pid=50,fd=10))
udp   UNCONN 0      0             0.0.0.0:57533 0.0.0.0:*
tcp   LISTEN 0      4096                *:2379        *:* users:(("etcd",pid=39,fd=6))
"""
SNMP = "Tcp: InErrs InCsumErrors\nTcp: 0 0\nUdp: InDatagrams InCsumErrors\nUdp: 62 3\n"


def told(**changes: Any) -> str:
    commands = ends(
        units=SHOWN,
        boot="UserspaceTimestampMonotonic=1069759300\n",
        links=json.dumps([LINK]),
        routes4=json.dumps([{"dst": "default"}, {"dst": "10.2.0.0/16", "dev": "flannel0"}]),
        routes6="",
        neighbours=json.dumps(
            [{"dst": "192.168.204.51", "dev": "eth0", "lladdr": "02:42", "state": ["STALE"]}]
        ),
        qdiscs=json.dumps(QDISCS),
        filter_eth0_egress=json.dumps(FILTERS),
        sockets=SOCKETS,
        nft="",
        log_flanneld=json.dumps(
            {"MESSAGE": "I1130 15:17:55.0 x] y", "_PID": "50", "__REALTIME_TIMESTAMP": "1796044675000000"}
        ),
    )
    answer = {
        "wall": 1_796_044_700.0,
        "boot": 1100.0,
        "zone": 0,
        "sysctls": {"net/ipv4/ip_forward": "1", "net/ipv4/x": "many"},
        "processes": {"flanneld": [{"pid": 50, "name": "flanneld", "state": "S", "clock": ""}]},
        "memory_events": {"flanneld": {"oom_kill": "1"}, "docker": {}},
        "folders": {"/run": {"there": False, "error": "No such file or directory"}},
        "carriers": {"eth0": 7},
        "snmp": SNMP,
        "legacy": ["filter"],
        "readyz": {"status": 200, "text": "flanneld is ready"},
        "reach": {"centos-master": ""},
        "commands": {**commands, **changes},
    }
    return json.dumps(answer)


def test_what_a_machine_says_is_read() -> None:
    seen = parse_look("node", told(), (1.0, 2.0))
    flanneld, docker = seen.units["flanneld"], seen.units["docker"]
    assert (flanneld.restarts, flanneld.pid, flanneld.status, flanneld.oom_kills) == (2, 50, "serving", 1)
    assert flanneld.up == pytest.approx(24.747853)
    assert flanneld.since_boot == pytest.approx(0.731485)
    assert flanneld.clock_ahead == pytest.approx(7200)
    assert (docker.active, docker.result, docker.up, docker.since_boot) == ("failed", "exit-code", None, None)
    eth0 = seen.device("eth0")
    assert eth0 is not None
    assert (eth0.up, eth0.carrier, eth0.lost, eth0.addresses) == (True, False, 7, ("192.168.204.52/24",))
    assert eth0.xdp == "program 5423 filter"
    assert seen.routes == {4: ("default", "10.2.0.0/16"), 6: ()}
    assert seen.neighbours == (Neighbour("eth0", "192.168.204.51", "02:42", "STALE"),)
    assert seen.qdiscs[1] == Qdisc("eth0", "tbf", "1:1", "rate 2500000")
    assert [item.action for item in seen.filters] == ["redirect to hole", "drop", ""]
    assert seen.filters[0] == Filter("eth0", "egress", 700, "u32", "redirect to hole")
    assert seen.holders == (Holder("udp", 8285, "flanneld", 50), Holder("tcp", 2379, "etcd", 39))
    assert (seen.number("net/ipv4/ip_forward"), seen.number("net/ipv4/x"), seen.number("none")) == (
        1,
        None,
        None,
    )
    assert seen.folders["/run"].there is False
    assert (seen.legacy, seen.rules, seen.readyz) == (True, None, Answer(200, "flanneld is ready"))
    assert seen.checksum_errors == {"Udp": 3}
    assert seen.etcd is None


STATUS = [{"Endpoint": "127.0.0.1:2379", "Status": {"version": "3.5.16", "leader": 5, "errors": ["NOSPACE"]}}]


def test_what_etcd_says_of_itself_is_read() -> None:
    answers = ends(
        etcd_health="healthy", etcd_status=json.dumps(STATUS), etcd_alarms="memberID:1 alarm:NOSPACE\n"
    )
    etcd = parse_look("node", told(**answers), (1.0, 2.0)).etcd
    assert etcd is not None
    assert (etcd.health, etcd.version, etcd.leader) == ("", "3.5.16", True)
    assert (etcd.alarms, etcd.errors) == (("memberID:1 alarm:NOSPACE",), ("NOSPACE",))
    answers["etcd health"] = {"exit": 1, "out": "", "err": "dialing\nError: unhealthy cluster"}
    etcd = parse_look("node", told(**answers), (1.0, 2.0)).etcd
    assert etcd is not None
    assert etcd.health == "Error: unhealthy cluster"


def test_an_answer_that_cannot_be_read_says_whose_it_is() -> None:
    with pytest.raises(LabError, match=r"reading what node says of itself: .*; it said: nonsense"):
        parse_look("node", "nonsense", (1.0, 2.0))


@dataclass(frozen=True)
class Asked(FakeNode):
    """Answers as the tutorial's machine does, and the program that looks with what `looks` has."""

    looks: str = ""
    argv: list[list[str]] = field(default_factory=list)

    def run_each(self, commands: Mapping[str, Command], *, within: float) -> Mapping[str, Ended]:
        if "look" not in commands:
            return super().run_each(commands, within=within)
        self.argv.append(list(commands["look"].argv))
        status = 0 if self.looks else 1
        return {"look": Ended(status, self.looks.encode(), b"python3: not found\n", "")}


def asked(node: FakeNode, looks: str) -> Asked:
    return Asked(node.name, node.address, node.answers, node.role, node.asked, node.talk, looks=looks)


def lab_of(looks: str) -> FakeLab:
    lab = fake_lab()
    return replace(
        lab, master=asked(lab.master, looks), minions=tuple(asked(it, looks) for it in lab.minions)
    )


def test_every_machine_is_asked_once_and_one_that_says_nonsense_hides_no_other() -> None:
    lab = lab_of(told())
    one = lab.minions[0]
    lab = replace(lab, minions=(asked(one, "nonsense"), lab.minions[1]))
    case = gather(lab, " --name x")
    silent = case.looks[ONE]
    assert isinstance(silent, Silent)
    assert silent.reason.startswith(f"reading what {ONE} says of itself")
    assert {name for name, look in case.looks.items() if not isinstance(look, Silent)} == set(LOOKS) - {ONE}
    assert len(lab.nodes[MASTER].argv) == 1  # type: ignore[attr-defined]
    assert "machine.silent" in {item.id for item in diagnose(case)}
    assert case.option == " --name x"


def test_a_machine_whose_program_fails_is_silent_with_its_last_words() -> None:
    silent = gather(lab_of("")).looks[ONE]
    assert isinstance(silent, Silent)
    assert silent.reason == "python3: not found"


def test_each_machine_is_asked_for_what_it_runs() -> None:
    master, minion = (of_node(SPEC, node, 6.0) for node in SPEC.nodes[:2])
    assert "etcd health" in master["commands"]
    assert "etcd health" not in minion["commands"]
    assert minion["reach"] == {MASTER: (MASTER, 2379)}
    assert {"filter eth0 egress", "filter flannel0 ingress", "log docker"} <= set(minion["commands"])
    monitored = SPEC.model_copy(update={"flanneld_options": ("-healthz-port=8080",)})
    assert of_node(monitored, SPEC.nodes[1], 6.0)["readyz"] == "http://127.0.0.1:8080/readyz"
    genuine = Flanneld(program=Program(path="/flanneld", digest="0", architecture="amd64"))
    foreign = SPEC.nodes[1].model_copy(update={"flanneld": genuine})
    assert of_node(monitored, foreign, 6.0)["readyz"] == ""
