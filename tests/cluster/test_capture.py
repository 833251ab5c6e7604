"""Stories of `lab capture` on a real lab: a packet at every place on its way, and what happens meanwhile."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import wait
from lab.cluster import Lab
from lab.cluster.create_pods import create_pods
from lab.events import Reporter
from lab.pods import ContainerSpec, PodSpec
from tests.cluster.judging import wait_until_right
from tests.lab.pcapng_blocks import Block, blocks, moment, number
from tests.processes import running

pytestmark = pytest.mark.cluster

ONE, TWO = "centos-minion01", "centos-minion02"
MARK = b"where am I going"


@pytest.fixture
def pods(lab: Lab) -> dict[str, Any]:
    """The pod of each minion."""
    return {pod.node: pod for pod in Lab.get(lab.engine, lab.name).pods()}


@contextmanager
def capturing(lab: Lab, *argv: str, **options: Any) -> Iterator[Any]:
    """`lab capture`, once it captures."""
    command = [sys.executable, "-m", "lab", "capture", "--name", lab.name, *argv]
    with running(command, stderr=subprocess.PIPE, text=True, **options) as program:
        assert program.stderr is not None
        assert program.stderr.readline().startswith("capturing at ")
        yield program


def ended(program: Any) -> str:
    """Ctrl-C; what it says then."""
    program.send_signal(signal.SIGINT)
    said = str(program.stderr.read())
    assert program.wait(120) == 0, said
    return said


def ping(lab: Lab, pods: dict[str, Any], count: int = 1) -> None:
    """From the first minion's pod to the second's, with a mark in it."""
    inside = ["nsenter", "--target", str(pods[ONE].infra_pid), "--net"]
    lab.node(ONE).run([*inside, "ping", "-c", str(count), "-p", MARK.hex(), str(pods[TWO].address)])


def read(path: Path) -> tuple[list[str], list[Block]]:
    """The names of the places, and the packets."""
    found = list(blocks(path.read_bytes()))
    names = [block.option(2).decode() for block in found if block.kind == 1]
    return names, [block for block in found if block.kind == 6]


def nothing_left(lab: Lab) -> None:
    ours = "capture.py[z]|etcdctl watc[h]|docker event[s]"
    for node in lab.nodes.values():
        assert node.run(["pgrep", "--full", ours], check=False).text == ""


def test_a_ping_is_found_at_pods_machines_and_links_in_the_order_of_its_way(lab, pods, tmp_path):
    file = tmp_path / "ping.pcapng"
    places = (ONE, f"{TWO}/eth0", f"{TWO}/docker0", pods[ONE].name, pods[TWO].name)
    with capturing(lab, *places, "-w", str(file), "-f", "icmp or udp port 8285") as program:
        ping(lab, pods)
        said = ended(program)
    assert said.endswith("none dropped by the kernel\n")
    names, packets = read(file)
    assert len(names) == len(set(names))
    times = [moment(block.body, 4) for block in packets]
    assert times == sorted(times)
    way = [
        (names[number(block.body, 0)], number(block.option(2), 0) & 3)
        for block in packets
        if MARK in block.body
    ]
    (port,) = {name for name, _ in way if name.startswith(f"{ONE}/veth")}
    into, out = 1, 2
    there = [
        (f"pod {pods[ONE].name}", out), (port, into), (f"{ONE}/docker0", into), (f"{ONE}/eth0", out),
        (f"{TWO}/eth0", into), (f"{TWO}/docker0", out), (f"pod {pods[TWO].name}", into),
    ]  # fmt: skip
    back = [(name, into + out - direction) for name, direction in reversed(there)]
    # flannel's own device sees the packet or not, as the datapath has it.
    seen = [step for step in way if "/flannel" not in step[0]]
    assert seen == there + back
    nothing_left(lab)


FIRST_WORD = "good morning"


def speaker(to: str) -> PodSpec:
    """A pod that says something to an address, first of all."""
    command = ("bash", "-c", f"echo -n '{FIRST_WORD}' > /dev/udp/{to}/9; exec sleep infinity")
    container = ContainerSpec(name="speaker", image="mysql", command=command)
    return PodSpec(name="late", node=ONE, containers=(container,))


def heard(path: Path, place: str, words: bytes) -> int:
    """How many packets with these words a place has seen."""
    names, packets = read(path)
    at = [names[number(block.body, 0)] for block in packets if words in block.body]
    return at.count(place)


@pytest.mark.thorough
def test_a_pod_that_is_created_meanwhile_is_captured_from_its_first_word_on(lab, pods, tmp_path):
    file, link = tmp_path / "all.pcapng", tmp_path / "machine.pcapng"
    said = ("-f", "udp dst port 9")  # and not what is answered, with the same words in it
    with (
        capturing(lab, *said, "-w", str(file)) as everything,
        capturing(lab, ONE, *said, "-w", str(link)) as machine,
    ):
        create_pods(lab, [speaker(str(pods[TWO].address))], Reporter())
        try:
            wait.until(
                lambda: heard(file, "pod late", FIRST_WORD.encode()) or wait.NotYet(read(file)[0]),
                what="the pod's first word",
                timeout=60,
            )
            lab.node(ONE).run(["docker", "restart", "--time=0", "lab-pod-late", "late_speaker"])
            wait.until(
                lambda: heard(file, "pod late", FIRST_WORD.encode()) == 2 or wait.NotYet(read(file)[0]),
                what="its first word after another start",
                timeout=60,
            )
        finally:
            lab.remove_pod("late")
        for program in (everything, machine):
            ended(program)
    words = FIRST_WORD.encode()
    assert heard(file, "pod late", words) == 2
    ports = {name for name in read(link)[0] if name.startswith(f"{ONE}/veth")}
    assert sorted(heard(link, port, words) for port in ports if heard(link, port, words)) == [1, 1]
    nothing_left(lab)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_a_capture_while_it_goes_on(lab, pods):
    lua = Path(__file__).parents[2] / "docs" / "flannel-udp.lua"
    fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.protocols"]
    with capturing(lab, "-w", "-", "-f", "icmp or udp port 8285", stdout=subprocess.PIPE) as program:
        reading = ["tshark", "-l", "-n", "-X", f"lua_script:{lua}", "-r", "-", "-Y", "icmp", *fields]
        with running(reading, stdin=program.stdout, stdout=subprocess.PIPE, text=True) as tshark:
            program.stdout.close()  # tshark alone reads it
            assert tshark.stdout is not None
            ping(lab, pods)
            lines = [tshark.stdout.readline().split("\t")[0] for _ in range(4)]
            assert lines == [f"pod {pods[ONE].name}", f"{ONE}/eth0", f"{TWO}/eth0", f"pod {pods[TWO].name}"]
            assert "flannel:ip:icmp" in tshark.stdout.readline() + tshark.stdout.readline()
            ended(program)


@pytest.mark.thorough
def test_faults_and_leases_are_comments_of_the_packets_that_follow(lab, tmp_path):
    file = tmp_path / "faults.pcapng"
    holder = lab.node(TWO).address
    with capturing(lab, "-w", str(file)) as program:
        with lab.fault("delay", ONE, time="5ms"):
            lab.node(ONE).run(["ping", "-c", "2", "-i", "0.2", TWO])
        with lab.fault("lease-delete", TWO):
            wait_until_right(lab)
        ended(program)
    comments = [comment for block in read(file)[1] for comment in block.comments]
    started = next(
        comment for comment in comments if comment.startswith(f"fault delay {ONE} started (time 5ms")
    )
    assert comments.index(f"fault delay {ONE} ended") > comments.index(started)
    assert any(
        comment.startswith("lease ") and comment.endswith(f" of {holder} was deleted") for comment in comments
    )
    nothing_left(lab)


def test_without_a_file_each_packet_is_a_line_and_as_many_come_as_are_asked_for(lab, pods, run_lab):
    with capturing(lab, ONE, "-f", "icmp", "--count", "3", stdout=subprocess.PIPE) as program:
        ping(lab, pods, count=3)
        out, said = program.communicate(timeout=120)
    assert len(out.splitlines()) == 3
    assert all(
        f"{pods[ONE].address} > {pods[TWO].address}  ICMP echo re" in line for line in out.splitlines()[:1]
    )
    assert said.startswith("3 packets at ")
    done = run_lab("capture", "--name", lab.name, "-f", "tcp prot 80")
    assert done.returncode == 2
    assert "-f 'tcp prot 80': tcpdump: can't parse filter expression: syntax error" in done.stderr
    done = run_lab("capture", "--name", lab.name, f"{ONE}/ethO")
    assert done.returncode == 2
    assert f"{ONE} has no device ethO; it has: " in done.stderr


@pytest.mark.thorough
def test_when_nobody_reads_any_more_it_ends_quietly(lab):
    with capturing(lab, "-w", "-", "-f", "icmp", stdout=subprocess.PIPE) as program:
        program.stdout.close()
        assert program.wait(120) == 0
        assert program.stderr.read() == ""
    nothing_left(lab)
