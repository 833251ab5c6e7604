"""The tutorial's cluster, as it stands after `lab up`. These tests look; they change nothing."""

import json
import os
import signal
import subprocess
import sys
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from lab import checks, spec, wait
from lab.deadlines import patience
from lab.labels import NAME
from tests.cluster.judging import wrong
from tests.forking import run_module
from tests.lab.labfile import lab_file
from tests.processes import running
from tests.schemas import problems
from tests.writable import FIND, foreign

pytestmark = pytest.mark.cluster

MASTER = "centos-master"

MINIONS = ["centos-minion01", "centos-minion02"]
# The tutorial's section 4.1: which pod runs where.
PODS = {"mysql01": "centos-minion02", "mysql02": "centos-minion01"}


def lease_of(lab, node):
    """The subnet whose lease in etcd names this node's address."""
    listing = (
        lab.node("centos-master")
        .run(["etcdctl", "get", "--prefix", "/coreos.com/network/subnets/"])
        .text.split("\n")
    )
    pairs = dict(zip(listing[::2], listing[1::2], strict=False))
    (key,) = [
        key for key, value in pairs.items() if json.loads(value)["PublicIP"] == str(lab.node(node).address)
    ]
    return IPv4Network(key.rpartition("/")[2].replace("-", "/"))


def link(lab, node, name):
    (found,) = json.loads(lab.node(node).run(["ip", "-json", "address", "show", "dev", name]).text)
    return found


def lab_command(lab, *argv):
    verb = argv[: 2 if argv[0] == "pod" else 1]
    return run_module("lab", [*verb, "--name", lab.name, *argv[len(verb) :]])


def test_every_check_of_lab_check_holds(lab):
    assert checks.failed(checks.run_all(lab)) == []


@pytest.mark.parametrize("node", ["centos-master", *MINIONS])
def test_root_of_a_machine_can_write_the_settings_of_its_own_namespaces_and_no_others(lab, node):
    found = lab.node(node).run(["/usr/bin/python3", "-c", FIND]).text
    own = ["net/ipv4/ip_forward", "fs/mqueue/msg_max", "kernel/hostname", "kernel/sem", "kernel/shmmax"]
    assert [path for path in own if f"/proc/sys/{path}\n" not in found] == []
    assert foreign(found) == []


def test_the_images_of_a_minion_are_whole_and_take_no_room_of_their_own(lab):
    script = """
        docker inspect --format '{{index .RootFS.Layers 0}}' mysql
        docker save mysql | tar --extract --wildcards --to-command='sha256sum | sed s/^/sha256:/' 'blobs/*'
        du --summarize "$(dirname "$(docker inspect --format '{{.GraphDriver.Data.UpperDir}}' mysql)")"
    """
    layer, *blobs, room = lab.node(MINIONS[0]).run(["sh", "-ec", script]).text.splitlines()
    assert f"{layer}  -" in blobs  # a layer is named by its content
    assert int(room.split()[0]) < 100  # KiB


@pytest.mark.parametrize("pod", PODS)
def test_root_of_a_pod_can_write_no_settings(lab, pod):
    script = """
        for each in kernel/core_pattern kernel/hostname vm/drop_caches net/ipv4/ip_forward; do
            (: >> /proc/sys/$each) && echo $each  # opens it, and writes nothing
        done 2>&1 | grep -v "Read-only file system"
        true
    """
    assert in_pod(lab, pod, "sh", "-c", script) == ""


@pytest.mark.parametrize("node", MINIONS)
def test_a_minion_holds_one_subnet_of_the_configured_network(lab, node):
    subnet = lease_of(lab, node)
    assert subnet.prefixlen == 24
    assert subnet.subnet_of(IPv4Network("10.2.0.0/16"))
    # flannel leaves the first subnet of the network out (SubnetMin).
    assert subnet != IPv4Network("10.2.0.0/24")


def test_the_minions_hold_different_subnets(lab):
    assert lease_of(lab, MINIONS[0]) != lease_of(lab, MINIONS[1])


@pytest.mark.parametrize("node", MINIONS)
def test_a_lease_is_written_as_flannel_writes_it_and_runs_out_in_a_day(lab, node):
    subnet = lease_of(lab, node)
    key = f"/coreos.com/network/subnets/{str(subnet).replace('/', '-')}"
    assert lab.node(MASTER).run(["etcdctl", "get", "--print-value-only", key]).text == (
        f'{{"PublicIP":"{lab.node(node).address}","PublicIPv6":null}}\n'
    )
    stored = json.loads(lab.node(MASTER).run(["etcdctl", "get", "-w", "json", key]).text)["kvs"][0]
    lease = f"{stored['lease']:x}"
    life = json.loads(lab.node(MASTER).run(["etcdctl", "lease", "timetolive", lease, "-w", "json"]).text)
    assert life["granted-ttl"] == 86400


@pytest.mark.parametrize("node", MINIONS)
def test_flannel0_is_the_tutorials(lab, node):
    subnet = lease_of(lab, node)
    found = link(lab, node, "flannel0")
    assert (found["mtu"], found["txqlen"]) == (1472, 500)
    assert "UP" in found["flags"]
    (address,) = [item for item in found["addr_info"] if item["family"] == "inet"]
    assert (address["local"], address["prefixlen"]) == (str(subnet.network_address), 16)


@pytest.mark.parametrize("node", MINIONS)
def test_docker0_has_the_leases_first_address_and_the_overlays_mtu(lab, node):
    subnet = lease_of(lab, node)
    found = link(lab, node, "docker0")
    (address,) = [item for item in found["addr_info"] if item["family"] == "inet"]
    assert IPv4Interface(f"{address['local']}/{address['prefixlen']}") == IPv4Interface(f"{subnet[1]}/24")
    assert found["mtu"] == 1472


@pytest.mark.parametrize("node", MINIONS)
def test_a_minions_routes_are_the_ones_that_flannel_makes(lab, node):
    subnet = lease_of(lab, node)
    routes = [line.strip() for line in lab.node(node).run(["ip", "route"]).text.splitlines()]
    assert f"10.2.0.0/16 dev flannel0 proto kernel scope link src {subnet.network_address}" in routes
    assert f"{subnet} dev docker0 proto kernel scope link src {subnet[1]}" in routes
    assert not [route for route in routes if route.startswith("default")]


def test_the_master_runs_no_flanneld(lab):
    assert (
        lab.node(MASTER).run(["systemctl", "is-active", "flanneld"], check=False).text.strip() == "inactive"
    )
    assert lab.node(MASTER).run(["ip", "link", "show", "flannel0"], check=False).exit_code != 0


@pytest.mark.parametrize(("pod", "node"), PODS.items())
def test_a_pod_runs_where_the_tutorial_shows_it_with_an_address_of_that_minion(lab, pod, node):
    running = lab.pod(pod)
    assert running.node == node
    assert running.address in lease_of(lab, node)


@pytest.mark.parametrize("pod", PODS)
def test_a_pods_interface_has_the_overlays_mtu_and_its_host_name_is_the_pods(lab, pod):
    (found,) = json.loads(in_pod(lab, pod, "ip", "-json", "address", "show", "dev", "eth0"))
    assert found["mtu"] == 1472
    assert in_pod(lab, pod, "hostname").strip() == pod
    assert in_pod(lab, pod, "hostname", "-i").strip() == str(lab.pod(pod).address)


def in_pod(lab, pod, *argv):
    running = lab.pod(pod)
    return lab.node(running.node).run(["docker", "exec", running.container(None), *argv]).text


@pytest.mark.parametrize(("client", "server"), [("mysql01", "mysql02"), ("mysql02", "mysql01")])
def test_the_tutorials_client_logs_in_across_the_nodes(lab, client, server):
    address = str(lab.pod(server).address)
    seen = in_pod(
        lab,
        client,
        "mysql",
        "-uroot",
        "-pp123456",
        f"-h{address}",
        "-N",
        "-e",
        "SELECT @@hostname, VERSION()",
    )
    host, version = seen.split()
    assert host == server
    assert int(version.split(".")[0]) >= 8


def test_each_server_has_keys_of_its_own(lab):
    for name in ("private_key.pem", "server-key.pem", "ca-key.pem"):
        keys = {in_pod(lab, pod, "cat", f"/var/lib/mysql/{name}") for pod in PODS}
        assert len(keys) == len(PODS), name
        assert all(key.startswith("-----BEGIN ") for key in keys)


@pytest.mark.parametrize("client", PODS)
def test_a_wrong_password_is_refused_across_the_nodes(lab, client):
    (server,) = PODS.keys() - {client}
    running = lab.pod(client)
    refused = lab.node(running.node).run(
        [
            "docker",
            "exec",
            running.container(None),
            "mysql",
            "-uroot",
            "-pwrong",
            f"-h{lab.pod(server).address}",
        ],
        check=False,
    )
    assert refused.exit_code == 1
    assert "Access denied for user 'root'" in refused.output


def test_a_pods_password_stands_in_no_label_and_in_no_report(lab):
    labels = [item.labels for item in lab.engine.networks({NAME: lab.name})]
    for node in MINIONS:
        script = "docker inspect --format '{{json .Config.Labels}}' $(docker ps --all --quiet)"
        labels += map(json.loads, lab.node(node).run(["sh", "-c", script]).text.splitlines())
    assert len([found for found in labels if "MYSQL_ROOT_PASSWORD" in str(found)]) == 5
    assert "p123456" not in str(labels)
    for verb in (["status"], ["pod", "ls"], ["check"]):
        told = lab_command(lab, *verb, "--json").stdout
        assert "mysql01" in told
        assert "p123456" not in told


def test_exec_gives_the_commands_own_streams_and_exit_status(lab):
    script = "echo out; echo err >&2; exit 7"
    done = lab_command(lab, "exec", "centos-minion01", "--", "sh", "-c", script)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


def test_a_program_that_is_not_there_ends_as_in_a_shell_with_nothing_on_standard_output(lab):
    done = lab_command(lab, "exec", "centos-minion01", "--", "no-such-program")
    assert (done.stdout, done.returncode) == ("", 127)
    assert "no-such-program" in done.stderr


def test_exec_takes_what_follows_the_dashes_as_it_is(lab):
    done = lab_command(lab, "exec", "centos-master", "--", "printf", "%s|", "a b", "$HOME", "-t", "--name")
    assert done.stdout == "a b|$HOME|-t|--name|"


def test_pod_exec_runs_in_the_pod(lab):
    assert lab_command(lab, "pod", "exec", "mysql01", "--", "hostname").stdout == "mysql01\n"


@pytest.mark.parametrize("words", [("exec", "centos-minion02"), ("pod", "exec", "mysql01")], ids=" ".join)
def test_a_command_ends_when_nobody_reads_on(lab, words):
    command = [sys.executable, "-m", "lab", *words, "--name", lab.name, "--", "yes", "some unusual words"]
    reader, writer = os.pipe()
    with running(command, stdout=writer, stderr=subprocess.PIPE) as program:
        os.close(writer)
        assert os.read(reader, 5) == b"some "
        os.close(reader)
        assert program.communicate()[1] == b""
    assert program.returncode == 128 + signal.SIGPIPE

    def gone():
        processes = lab.node("centos-minion02").run(["ps", "-eo", "args"]).text
        return "yes some unusual words" not in processes or wait.NotYet(processes)

    wait.until(gone, what="yes to end", timeout=30 * patience())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "SIGKILL"])
@pytest.mark.parametrize("words", [("exec", "centos-minion02"), ("pod", "exec", "mysql01")], ids=" ".join)
def test_a_command_ends_with_all_that_it_has_started_however_lab_ends(lab, words, number):
    command = [sys.executable, "-m", "lab", *words, "--name", lab.name, "--"]
    script = "(setsid sleep 471147 &); echo ready; sleep 471147"
    with running([*command, "sh", "-c", script], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        wait.until(
            lambda: left_running(lab) == 2 or wait.NotYet("fewer"), what="both", timeout=30 * patience()
        )
        program.send_signal(number)
    if number == signal.SIGINT:
        assert program.returncode == 130
        assert left_running(lab) == 0
    wait.until(
        lambda: not left_running(lab) or wait.NotYet("some"),
        what="the command's end",
        timeout=30 * patience(),
    )


def left_running(lab):
    processes = lab.node("centos-minion02").run(["ps", "-eo", "args"]).text.splitlines()
    return processes.count("sleep 471147")


def test_lines_come_from_a_machine_while_a_command_goes_on_and_it_ends_when_we_do(lab):
    node = lab.node("centos-minion02")
    with node.open(["sh", "-c", "echo $$; exec cat"], stdin=True) as program:
        lines = program.lines()
        pid = next(lines)
        program.send("größe\n".encode())
        assert next(lines) == "größe"
        assert node.run(["kill", "-0", pid], check=False).exit_code == 0
    assert node.run(["kill", "-0", pid], check=False).exit_code == 1


def test_arguments_arrive_as_they_were_typed_whatever_the_locale(lab):
    command = [sys.executable, "-m", "lab", "exec", "--name", lab.name, "centos-minion02", "--"]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [*command, "printf", "%s", "größe 密码"],
        capture_output=True,
        env={**os.environ, **ascii_only},
        check=True,
    )
    assert done.stdout.decode() == "größe 密码"


def test_a_node_that_is_not_there_is_named_with_those_that_are(lab):
    done = lab_command(lab, "exec", "centos-minion09", "--", "true")
    assert done.returncode == 2
    assert "centos-minion09" in done.stderr
    assert "did you mean centos-minion01 or centos-minion02?" in done.stderr


def test_following_a_log_needs_no_standard_input(lab):
    command = [sys.executable, "-m", "lab", "logs", "--name", lab.name, "-f", "centos-minion01", "flanneld"]
    with running(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout is not None
            assert next(line for line in follower.stdout if "Subnet lease acquired" in line)
            assert follower.poll() is None
        finally:
            follower.terminate()
    assert follower.returncode == 130


def test_the_log_of_a_unit_that_is_not_there_is_an_error(lab):
    done = lab_command(lab, "logs", "centos-minion01", "nosuch")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lab: centos-minion01 has no unit nosuch; see: lab exec ")
    assert "Starting" in lab_command(lab, "logs", "centos-minion01", "flanneld").stdout


def test_a_pods_log_is_what_its_container_has_printed(lab):
    done = lab_command(lab, "pod", "logs", "mysql01", "--tail", "3")
    assert done.returncode == 0
    assert "mysqld" in done.stderr
    assert len(done.stderr.splitlines() + done.stdout.splitlines()) == 3


def test_lab_check_reports_as_json(lab):
    done = lab_command(lab, "check", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert problems("check", report) == []
    assert report["failed"] == 0
    assert report["passed"] == len(report["findings"]) > 0
    assert {item["id"] for item in report["findings"]} >= {"leases.value", "login.mysql"}


def test_the_replay_of_the_tutorial_agrees_in_every_step(lab):
    done = lab_command(lab, "tutorial", "--json")
    document = json.loads(done.stdout)
    assert problems("tutorial", document) == []
    assert [step for step in document["steps"] if not step["ok"]] == []
    assert done.returncode == 0


@pytest.mark.parametrize(("verb", "schema"), [("status", "status"), ("pod ls", "pods")])
def test_what_is_told_of_a_lab_that_stands_follows_its_schema(lab, verb, schema):
    told = json.loads(lab_command(lab, *verb.split(), "--json").stdout)
    assert problems(schema, told) == []
    assert [pod["name"] for pod in told["pods"]] == ["mysql01", "mysql02"]


# Beside other labs


def test_gc_leaves_a_lab_alone_that_is_being_used(lab, run_lab, left_of, only_gc):
    assert lab.name not in run_lab("gc").stdout
    assert len(left_of(lab.name)) == 4


def with_password(password):
    """The tutorial's cluster, whose MySQL servers have this password."""
    text = lab_file(spec.tutorial())
    assert text.count("p123456") == 2
    return spec.load(text.replace("p123456", password), "other-passwords.yaml")


@pytest.mark.thorough
def test_two_labs_stand_side_by_side_also_with_passwords_beyond_ascii(lab, make_lab):
    one, two = lab, make_lab(with_password("größe 密码")).lab
    assert one.underlay != two.underlay
    first_free = IPv4Address("192.168.200.0")
    assert all(lab.underlay.network_address >= first_free for lab in (one, two))
    assert [*wrong(one), *wrong(two)] == []
