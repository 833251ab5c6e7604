"""What a bundle asks, as commands."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

import pytest

from lab.bundle import inside
from lab.bundle.inside import conntrack
from lab.bundle.model import Question
from lab.bundle.questions import of_node
from lab.flannel import monitor_url
from lab.inside import program
from lab.spec import LabSpec, load
from tests.lab.examples import SPEC


def asked(spec: LabSpec, name: str) -> Mapping[str, Question]:
    (node,) = [node for node in spec.nodes if node.name == name]
    return {question.path: question for question in of_node(spec, node, 10.0)}


def test_every_machine_is_asked_for_its_network_and_only_for_the_services_that_it_runs() -> None:
    master, minion = asked(SPEC, "centos-master"), asked(SPEC, "centos-minion01")
    for name in ("routes", "rules", "neighbours", "fdb", "nftables", "iptables", "conntrack", "sysctls"):
        assert f"network/{name}.txt" in master.keys() & minion.keys()
    assert master["network/routes.txt"].argv[-2:] == ("table", "all")
    assert {"etcd/keys.json", "journal/etcd.log"} <= master.keys()
    assert not [path for path in master if path.startswith(("flannel/", "docker/"))]
    assert {
        "flannel/subnet.env",
        "docker/logs",
        "journal/flanneld.log",
        "journal/docker.log",
    } <= minion.keys()
    assert not [path for path in minion if path.startswith("etcd/")]


def test_the_units_of_the_lab_file_have_their_journals_as_well() -> None:
    units = "{mine.service: '[Service]\\nExecStart=/bin/true'}"
    nodes = f"[{{name: one, host: 51, services: [docker], docker: {{bip: none}}, units: {units}}}]"
    found = asked(load(f"{{nodes: {nodes}, pods: []}}", "mine.yaml", name="mine"), "one")
    assert "journal/mine.service.log" in found
    assert "--unit=mine.service" in found["journal/mine.service.log"].argv


def test_a_daemon_that_is_no_flanneld_is_asked_for_its_subnet_and_for_nothing_of_flannels() -> None:
    units = "{mine.service: '[Service]\\nExecStart=/bin/true'}"
    docker = "{bip: from-subnet-env}"
    nodes = f"[{{name: one, host: 51, services: [docker], docker: {docker}, units: {units}}}]"
    found = asked(load(f"{{nodes: {nodes}, pods: []}}", "mine.yaml", name="mine"), "one")
    assert "flannel/subnet.env" in found
    assert not {"flannel/version.txt", "flannel/options.txt"} & found.keys()


def test_an_etcd_with_tls_is_asked_with_the_machines_own_certificate() -> None:
    old = load("{flannel: {etcdApi: v2}, etcd: {tls: true}}", "tls.yaml", name="tls")
    for path in ("etcd/metrics.txt", "etcd/keys-v2.json"):
        argv = asked(old, "centos-master")[path].argv
        assert argv[-1].startswith("https://127.0.0.1:2379/")
        assert {"--cacert", "--cert", "--key"} <= set(argv)


def test_the_old_store_is_asked_for_where_the_lab_uses_it() -> None:
    old = load("flannel: {etcdApi: v2}", "v2.yaml", name="old")
    assert "etcd/keys-v2.json" in asked(old, "centos-master")
    assert "etcd/keys.json" in asked(old, "centos-master")
    assert "etcd/keys-v2.json" not in asked(SPEC, "centos-master")


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ((), ""),
        (("-healthz-port=0",), ""),
        (("-healthz-port=8471",), "http://127.0.0.1:8471"),
        (("--healthz-port", "8471"), "http://127.0.0.1:8471"),
        (("-healthz-port=1", "-healthz-ip=127.0.0.2", "-healthz-port=2"), "http://127.0.0.2:2"),
        (("-healthz-port=8471", "-healthz-ip=::"), "http://[::1]:8471"),
        (("-healthz-port=8471", "-healthz-ip=nonsense"), ""),
        (("-healthz-port",), ""),
    ],
)
def test_flannelds_state_is_asked_for_where_its_options_say_that_it_answers(
    options: tuple[str, ...], url: str
) -> None:
    assert monitor_url(options) == url


def test_state_and_metrics_are_asked_for_with_healthz_port() -> None:
    spec = load("flannel: {options: [-iface=eth0, -healthz-port=8471]}", "x.yaml", name="x")
    found = asked(spec, "centos-minion01")
    assert found["flannel/state.txt"].argv[-1] == "http://127.0.0.1:8471/state"
    assert found["flannel/metrics.txt"].argv[-1] == "http://127.0.0.1:8471/metrics"
    assert "flannel/state.txt" not in asked(SPEC, "centos-minion01")


def run(name: str, *arguments: str, path: Path, **pretended: str) -> "subprocess.CompletedProcess[str]":
    """A program of a machine, with programs of ours in place of that machine's."""
    for command, script in pretended.items():
        (path / command).write_text(f"#!/bin/sh\n{script}")
        (path / command).chmod(0o755)
    argv = [sys.executable, *program(inside, name, *arguments)[1:]]
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


DOCKER = """
    case "$1 $*" in
        ps*quiet*) echo 40d4 ;;
        ps*) printf 'mysql01_mysql01\\nlab-pod-mysql01\\n' ;;
        inspect*) echo '[{"Id": "40d4"}]' ;;
        *mysql01_mysql01) echo out; echo err >&2 ;;
        *) echo "Error response from daemon: no such log" >&2; exit 1 ;;
    esac
"""


def test_every_containers_log_is_told_and_one_that_fails_hides_no_other(tmp_path: Path) -> None:
    done = run("container_logs", "100", "30", "/none", path=tmp_path, docker=DOCKER)
    told = {line["container"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert told["mysql01_mysql01"] == {"container": "mysql01_mysql01", "log": "out\nerr\n", "status": 0}
    assert told["lab-pod-mysql01"]["status"] == 1
    assert "no such log" in told["lab-pod-mysql01"]["log"]


def test_containers_are_told_as_docker_tells_them(tmp_path: Path) -> None:
    done = run("containers", "30", "/none", path=tmp_path, docker=DOCKER)
    assert json.loads(done.stdout) == [{"Id": "40d4"}]
    done = run("containers", "30", "/none", path=tmp_path, docker="true")
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("docker", ["exit 1", "exec sleep 1000"], ids=["stopped", "hangs"])
def test_what_docker_has_written_down_is_read_where_it_does_not_answer(tmp_path: Path, docker: str) -> None:
    # As Docker 26 writes them.
    config = {"ID": "40d4", "Name": "/mysql01_mysql01", "Config": {"Env": ["MYSQL_ROOT_PASSWORD=p123456"]}}
    entry = {"log": "ready\n", "stream": "stderr", "time": "2026-11-29T09:05:24.654006099Z"}
    for name in ("40d4", "being-made"):
        (tmp_path / name).mkdir()
    (tmp_path / "40d4" / "config.v2.json").write_text(json.dumps(config))
    (tmp_path / "40d4" / "40d4-json.log").write_text("".join(f"{json.dumps(entry)}\n" for _ in range(3)))
    asked = run("containers", "0.2", str(tmp_path), path=tmp_path, docker=docker)
    assert json.loads(asked.stdout) == [config]
    asked = run("container_logs", "2", "0.2", str(tmp_path), path=tmp_path, docker=docker)
    log = "2026-11-29T09:05:24.654006099Z ready\n" * 2
    assert json.loads(asked.stdout) == {"container": "mysql01_mysql01", "log": log, "status": 0}


# Numbers are those of linux/netfilter/nfnetlink_conntrack.h.
def attribute(kind: int, *parts: bytes) -> bytes:
    """A netlink attribute (struct nlattr of linux/netlink.h), padded to four bytes."""
    data = b"".join(parts)
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def half(source: str, destination: str, protocol: int, *more: bytes) -> bytes:
    """One direction of a connection: CTA_TUPLE_IP and CTA_TUPLE_PROTO."""
    ends = [ip_address(each) for each in (source, destination)]
    kinds = (1, 2) if ends[0].version == 4 else (3, 4)
    addresses = [attribute(kind, end.packed) for kind, end in zip(kinds, ends, strict=True)]
    return attribute(1, *addresses) + attribute(2, attribute(1, bytes([protocol])), *more)


def ports(source: int, destination: int) -> bytes:
    return attribute(2, source.to_bytes(2, "big")) + attribute(3, destination.to_bytes(2, "big"))


def number(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(4, "big"))


TCP = 0x8000  # NLA_F_NESTED, as the kernel sets it


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            attribute(TCP | 1, half("10.2.35.2", "10.2.52.2", 6, ports(41614, 3306)))
            + attribute(TCP | 2, half("10.2.52.2", "10.2.35.2", 6, ports(3306, 41614)))
            + number(3, 0b1110)  # IPS_SEEN_REPLY, IPS_ASSURED, IPS_CONFIRMED
            + number(7, 431999)
            + attribute(TCP | 4, attribute(TCP | 1, attribute(1, b"\3")))
            + number(8, 0),
            "tcp 431999 ESTABLISHED src=10.2.35.2 dst=10.2.52.2 sport=41614 dport=3306 "
            "src=10.2.52.2 dst=10.2.35.2 sport=3306 dport=41614 [ASSURED] mark=0",
        ),
        (
            attribute(1, half("fd00::1", "fd00::2", 58, attribute(7, b"\0\7"), attribute(8, b"\x80")))
            + attribute(2, half("fd00::2", "fd00::1", 58, attribute(7, b"\0\7"), attribute(8, b"\x81")))
            + number(3, 0b1000),
            "icmpv6 src=fd00::1 dst=fd00::2 type=128 id=7 [UNREPLIED] src=fd00::2 dst=fd00::1 type=129 id=7",
        ),
        (
            attribute(1, half("10.2.35.2", "10.2.52.2", 47))
            + attribute(2, half("10.2.52.2", "10.2.35.2", 47))
            + number(3, 0),
            "47 src=10.2.35.2 dst=10.2.52.2 [UNREPLIED] src=10.2.52.2 dst=10.2.35.2",
        ),
    ],
    ids=["tcp", "icmpv6", "gre"],
)
def test_a_tracked_connection_is_shown_as_the_kernels_own_list_shows_it(message: bytes, shown: str) -> None:
    assert conntrack.line(message) == shown


# As etcdctl 3.5 prints them.
KEYS = '{"header":{"revision":7},"kvs":[{"key":"YQ==","lease":7587870000000000001,"value":"Yg=="}],"count":1}'
LEASE = '{"id":7587870000000000001,"ttl":86390,"granted-ttl":86400,"keys":null}'


def test_etcds_keys_come_with_what_is_left_of_their_leases(tmp_path: Path) -> None:
    etcdctl = f"""
        case "$*" in
            *"get  --prefix --consistency=l"*) echo '{KEYS}' ;;
            *"lease timetolive 694d87900fd7e001"*) echo '{LEASE}' ;;
            *) exit 9 ;;
        esac
    """
    done = run("etcd_keys", "4", path=tmp_path, etcdctl=etcdctl)
    told = json.loads(done.stdout)
    assert told["consistency"] == "l"
    assert told["leases"] == {"7587870000000000001": {"ttl": 86390, "granted": 86400}}


def test_a_member_without_a_quorum_tells_what_it_has_itself(tmp_path: Path) -> None:
    etcdctl = f"""
        case "$*" in
            *--consistency=s*) echo '{KEYS}' ;;
            *) echo "context deadline exceeded" >&2; exit 1 ;;
        esac
    """
    done = run("etcd_keys", "4", path=tmp_path, etcdctl=etcdctl)
    told = json.loads(done.stdout)
    assert (told["consistency"], told["leases"], told["count"]) == ("s", {}, 1)


def test_an_etcd_that_tells_nothing_gives_its_reason(tmp_path: Path) -> None:
    done = run("etcd_keys", "4", path=tmp_path, etcdctl="echo 'connection refused' >&2; exit 1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "connection refused\n\n")
