"""A capture's parts: pcapng by its specification, the order of time, comments, lines, places."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab import spec, wait
from lab.capture import pcapng
from lab.capture.happenings import Faults, Leases, watching
from lab.capture.inside import PROGRAM
from lab.capture.inside import happenings as inside
from lab.capture.inside import main as inside_main
from lab.capture.inside import pods as inside_pods
from lab.capture.merge import Item, Progress, commented, due, settled
from lab.capture.model import ETHERNET, RAW, Counts, Happening, Packet, Place, Said, Wanted
from lab.capture.order import Order
from lab.capture.output import File, Lines, Sink
from lab.capture.places import everything, meant, require, wanted
from lab.capture.summary import summary
from lab.capture.wire import HEAD, Reader
from lab.errors import Unfit
from lab.soak.inside import record
from lab.spec import LabSpec
from tests.lab.examples import FOLDER, PODS, SPEC, pod
from tests.lab.installed import installed
from tests.lab.pcapng_blocks import blocks, moment, number

ETH0 = Place("centos-minion01/eth0", ETHERNET, "veth, 192.168.199.52/24")
TUN = Place("centos-minion01/flannel0", RAW, rank=1)
AT = 1_772_300_000_123_456_789

# Of a capture on the lab: an echo request of 10.2.43.0 to 10.2.12.2, in udp's datagram, on Ethernet.
ICMP = bytes.fromhex("4500005421b640003f01d5cd0a022b000a020c0208002d94f1030001") + bytes(56)
UDP = bytes.fromhex("45000070000040004011aa5cc0a8ce35c0a8ce34205d205d005c0000")
ETHER = bytes.fromhex("0242c0a8ce340242c0a8ce350800")
DATAGRAM = ETHER + UDP + ICMP
PODS_THERE = [pod(name) for name in PODS]


def packet(at: int = AT, place: Place = ETH0, **given: int) -> Packet:
    return Packet(at, place, DATAGRAM, len(DATAGRAM), **given)


def test_a_file_has_a_section_an_interface_for_each_place_and_packets_with_their_time_and_direction():
    file = b"".join(
        [
            pcapng.section("lab capture", ["the lab tutorial"]),
            pcapng.interface(ETH0, 262_144),
            pcapng.interface(TUN, 100),
            pcapng.packet(0, packet(flags=2)),
            pcapng.packet(1, Packet(AT + 1, TUN, ICMP[:41], 84, 5), ["lease gone", "Grüße"]),
            pcapng.statistics(1, AT, AT + 9, Counts(7, 3), ["the end"]),
        ]
    )
    section, ether, tun, first, second, counted = blocks(file)
    assert (section.kind, number(section.body, 0)) == (0x0A0D0D0A, 0x1A2B3C4D)
    assert (number(section.body, 4, 2), number(section.body, 6, 2)) == (1, 0)
    assert number(section.body, 8, 8) == (1 << 64) - 1  # the section's length is not told
    assert section.option(4) == b"lab capture"
    assert section.comments == ["the lab tutorial"]
    assert [ether.kind, tun.kind] == [1, 1]
    assert (number(ether.body, 0, 2), number(ether.body, 4)) == (1, 262_144)  # LINKTYPE_ETHERNET
    assert (number(tun.body, 0, 2), number(tun.body, 4)) == (101, 100)  # LINKTYPE_RAW
    assert [block.option(2).decode() for block in (ether, tun)] == [ETH0.name, TUN.name]
    assert ether.option(3).decode() == ETH0.description
    assert [block.option(9) for block in (ether, tun)] == [b"\x09", b"\x09"]  # 10^-9 s
    assert [first.kind, number(first.body, 0), moment(first.body, 4)] == [6, 0, AT]
    assert [number(first.body, 12), number(first.body, 16)] == [len(DATAGRAM)] * 2
    assert first.body[20 : 20 + len(DATAGRAM)] == DATAGRAM
    assert first.option(2) == b"\x02\0\0\0"  # outbound
    assert [number(second.body, 0), moment(second.body, 4)] == [1, AT + 1]
    assert [number(second.body, 12), number(second.body, 16)] == [41, 84]
    assert second.comments == ["lease gone", "Grüße"]
    assert number(second.option(2), 0) & 3 == 1  # inbound
    assert number(second.option(2), 0) >> 2 & 7 == 1  # unicast
    assert [counted.kind, number(counted.body, 0), moment(counted.body, 4)] == [5, 1, AT + 9]
    assert [moment(counted.option(code), 0) for code in (2, 3)] == [AT, AT + 9]
    assert [number(counted.option(code), 0, 8) for code in (6, 7)] == [7, 3]
    assert counted.comments == ["the end"]


def test_a_comment_that_is_too_long_is_cut_off_between_two_characters():
    (block,) = blocks(pcapng.packet(0, packet(), ["ü" * 40_000]))
    assert block.comments == ["ü" * 32_767]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_what_is_written_and_finds_what_is_inside_of_udp(tmp_path):
    written = tmp_path / "a.pcapng"
    with written.open("wb") as file:
        output = File(file.write, 262_144, "why")
        output.place(ETH0)
        output.packets([(packet(flags=1), ("fault delay started",))])
        output.end({ETH0: Counts(1, 0)}, ["over"])
    fields = ("frame.time_epoch", "frame.interface_name", "frame.comment", "frame.protocols", "icmp.type")
    lua = Path(__file__).parents[2] / "docs" / "flannel-udp.lua"
    for how in (["-X", f"lua_script:{lua}"], ["-d", "udp.port==8285,ip"]):
        argv = ["tshark", "-n", *how, "-r", str(written), "-T", "fields"]
        done = subprocess.run(
            [*argv, *(word for name in fields for word in ("-e", name))],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = done.stdout.rstrip("\n").split("\t")
        assert found[0] == "1772300000.123456789"
        assert found[1:3] == [ETH0.name, "fault delay started"]
        assert found[3].startswith("eth:ethertype:ip:udp:")
        assert ":ip:icmp" in found[3]
        assert found[4] == "8"


def test_packets_of_all_machines_come_in_the_order_of_time_and_wait_for_what_may_still_come():
    bridge = Place("n/docker0", ETHERNET, rank=1)
    items: list[Item] = [packet(30), packet(10, bridge), packet(10), Happening(10, "x"), packet(20)]
    ready, rest = due(items, 30)
    assert ready == [items[3], items[2], items[1], items[4]]
    assert rest == [items[0]]
    assert due(rest, None) == (rest, [])


def test_nobody_waits_for_a_machine_that_stands_still():
    told = {"a": Progress(100, 5.0), "b": Progress(40, 5.9), "c": Progress(7, 2.0)}
    assert settled(told, 6.5) == 40  # a has been silent for longer than a second
    assert settled(told, 5.5) == 40
    assert settled(told, 99.0) == 7
    assert settled({}, 1.0) == 0


def test_what_happens_is_a_comment_of_the_next_packet():
    one, two = packet(2), packet(5)
    items: list[Item] = [Happening(1, "a"), one, Happening(3, "b"), Happening(4, "c"), two, Happening(6, "d")]
    assert commented(items, ["before"]) == ([(one, ("before", "a")), (two, ("b", "c"))], ("d",))


class Kept:
    """An output that keeps what it gets."""

    def __init__(self) -> None:
        self.found: list[tuple[int, tuple[str, ...]]] = []
        self.places: list[Place] = []

    def place(self, place: Place) -> None:
        self.places.append(place)

    def packets(self, found: Sequence[tuple[Packet, tuple[str, ...]]]) -> None:
        self.found += [(item.at, comments) for item, comments in found]

    def happened(self, _comments: Sequence[str]) -> bool:
        return False

    def end(self, counts: Mapping[Place, Counts], comments: Sequence[str]) -> None:
        pass


def test_machines_that_tell_at_different_times_are_put_in_order_and_no_more_than_was_asked_for_is_written():
    kept = Kept()
    order = Order(["a", "b"], kept, Leases({}), 3)
    for said in (
        Said("a", "place", what=ETH0),
        Said("a", "packets", what=[packet(1), packet(5)]),
        Said("a", "until", 6),
        Said("b", "packets", what=[packet(3)]),
        Said("b", "until", 4),
        Said("", "containers", what=[("b", "paused", "Up (Paused)")]),
    ):
        order.take(said, 1.0)
    order.write(1.1)
    assert kept.found == [(1, ()), (3, ())]
    order.take(Said("b", "packets", what=[packet(7), packet(8)]), 1.2)
    order.take(Said("b", "until", 9), 1.2)
    for node in ("a", "b"):
        order.take(Said(node, "over", what="" if node == "a" else "it broke"), 1.3)
    assert order.over
    order.write(None)
    assert kept.found[2:] == [(5, ())]
    assert order.enough
    assert order.complaints == ["b is not captured any more: it broke"]


def test_records_are_found_however_the_stream_is_cut_and_the_program_writes_them_so():
    assert inside_main.HEAD.format == HEAD.format
    stream = HEAD.pack(b"p", 2, 3, 5, 60, AT) + b"12345" + HEAD.pack(b"f", 0, 0, 2, 0, 9) + b"{}"
    for size in (1, 7, 100):
        reader = Reader()
        found = [it for at in range(0, len(stream), size) for it in reader.read(stream[at : at + size])]
        assert [(it.kind, it.at, it.data) for it in found] == [("p", AT, b"12345"), ("f", 9, b"{}")]
        assert (found[0].flags, found[0].place, found[0].length) == (2, 3, 60)
        assert found[1].told == {}


def event(key: str, value: str | None, revision: int) -> str:
    """As etcdctl prints a change, with --write-out=json."""
    pair = {"key": base64.b64encode(key.encode()).decode(), "mod_revision": revision}
    if value is None:
        return json.dumps({"Events": [{"type": 1, "kv": pair}]})
    return json.dumps({"Events": [{"kv": {**pair, "value": base64.b64encode(value.encode()).decode()}}]})


def lease(address: str) -> str:
    return json.dumps({"PublicIP": address})


def test_changes_of_leases_are_told_once_and_with_their_holders():
    leases = Leases({f"{FOLDER}/10.2.3.0-24": lease("192.168.199.52")})
    gone, again = f"{FOLDER}/10.2.3.0-24", f"{FOLDER}/10.2.4.0-24"

    def heard(*lines: str) -> list[str]:
        return list(leases.heard("\n".join(lines)))

    assert heard(event(gone, None, 8)) == ["lease 10.2.3.0/24 of 192.168.199.52 was deleted"]
    assert heard(event(gone, None, 8)) == []  # another member's word
    assert heard(event(again, lease("192.168.199.53"), 9)) == [
        "lease 10.2.4.0/24 of 192.168.199.53 was created"
    ]
    assert heard(event(again, lease("192.168.199.53"), 10)) == [
        "lease 10.2.4.0/24 of 192.168.199.53 was written again"
    ]
    assert heard(event(again, lease("192.0.2.1"), 11)) == [
        "lease 10.2.4.0/24 of 192.168.199.53 was written over: it is 192.0.2.1's now"
    ]
    assert heard(event("/coreos.com/network/config", "{}", 12)) == [
        "etcd's key /coreos.com/network/config was written"
    ]


def v2_event(action: str, key: str, index: int, **more: str) -> str:
    """As etcdctl of v2 prints a change, with --output=json."""
    node = {"key": key, **more, "modifiedIndex": index, "createdIndex": index}
    return json.dumps({"action": action, "node": node})


def test_changes_in_the_v2_store_are_told_once_however_many_members_tell_them():
    leases, key = Leases({}), f"{FOLDER}/10.2.4.0-24"
    said = v2_event("set", key, 9, value=lease("192.168.199.53"))
    assert list(leases.heard(said)) == ["lease 10.2.4.0/24 of 192.168.199.53 was created"]
    assert list(leases.heard(said)) == []
    gone = v2_event("expire", key, 12)
    assert list(leases.heard(f"{gone}\n{gone}\n")) == ["lease 10.2.4.0/24 of 192.168.199.53 was deleted"]


def test_a_store_that_was_set_back_tells_of_other_changes_with_revisions_of_before():
    leases, key = Leases({}), f"{FOLDER}/10.2.4.0-24"
    assert len(list(leases.heard(event(key, lease("192.168.199.53"), 9)))) == 1
    assert list(leases.heard(event(key, lease("192.0.2.1"), 9))) == [
        "lease 10.2.4.0/24 of 192.168.199.53 was written over: it is 192.0.2.1's now"
    ]


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_every_member_of_etcd_is_watched(api):
    assert watching(SPEC).keys() == {"centos-master"}
    three = LabSpec.model_validate(
        {**SPEC.model_dump(), "etcd_api": api, "nodes": [
            {**node.model_dump(), "services": ("etcd",)} for node in SPEC.nodes
        ]}
    )  # fmt: skip
    assert watching(three) == {node.name: {"api": api, "prefix": SPEC.etcd_prefix} for node in SPEC.nodes}


# What is watched from 8 on tells of 9 and ends, and what is watched later on stays; `at` has the store's own.
@pytest.fixture
def spawned(monkeypatch):
    """Commands are begun by vfork(2), and so outlive a killed run of the tests.

    What the product does otherwise, a fork of this process, which has loaded all tests, costs more than all
    that the commands of a test do.
    """
    monkeypatch.setattr(record, "end_with_this", None)


ETCDCTL = {
    "v3": """\
case "$*" in
  get*) echo '{"header": {"revision": '$(cat "$AT")'}}' ;;
  *--rev=8) echo "$NEXT" > "$AT"
    echo '{"Events": [{"kv": {"key": "", "mod_revision": 9}}], "CompactRevision": 0}' ;;
  *) echo '{"asked": "'"$*"'"}'; exec sleep 600 ;;
esac
""",
    "v2": """\
case "$*" in
  *get*) printf 'Key: /x/config\\nModified-Index: 3\\nTTL: 0\\nIndex: %s\\n\\nIndex: 1\\n' $(cat "$AT") ;;
  *--after-index=7*) echo "$NEXT" > "$AT"; echo '[set] /x/y'
    echo '{"action": "set", "node": {"key": "/x/y", "value": "", "modifiedIndex": 9, "createdIndex": 9}}' ;;
  *) echo '{"asked": "'"$*"'"}'; exec sleep 600 ;;
esac
""",
}
V3_WATCH = "watch --prefix /x/ --write-out=json --rev="
V2_WATCH = "--output=json watch --forever --recursive --after-index="


@pytest.mark.usefixtures("spawned")
@pytest.mark.parametrize(
    ("api", "after", "asked"),
    [
        ("v3", 30, f"{V3_WATCH}10"),
        ("v3", 3, f"{V3_WATCH}4"),  # the store was set back
        ("v2", 30, f"{V2_WATCH}9 /x"),
    ],
)
def test_a_watch_that_ends_goes_on_where_it_was(api, after, asked, tmp_path, monkeypatch):
    etcdctl, at = tmp_path / "etcdctl", tmp_path / "at"
    etcdctl.write_text(f"#!/bin/sh\n{ETCDCTL[api]}")
    etcdctl.chmod(0o755)
    at.write_text("7\n")
    for name, value in {"AT": at, "NEXT": after, "PATH": f"{tmp_path}:{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(inside, "AGAIN", 0.01)
    ready: list[bool] = []
    etcd = inside.Etcd(api, "/x", lambda: ready.append(True))
    said = ""

    def heard() -> bool | wait.NotYet:
        nonlocal said
        if select.select([etcd], [], [], 0)[0]:
            said += etcd.take()
        return "asked" in said or wait.NotYet(said)

    wait.until(heard, what="a watch that goes on", timeout=60)
    etcd.end()
    first, second = map(json.loads, said.splitlines())
    assert "Events" in first or first["node"]["modifiedIndex"] == 9
    assert second == {"asked": asked}
    assert ready


# One runs, another starts, one that has ended again is told of, and then Docker itself ends, which says so.
DOCKER = """\
case "$1" in
  ps) printf '%064d\\n' 1 ;;
  inspect) for id; do case $id in *1) echo one 101 ;; *2) echo two 202 ;; *3) echo three 0 ;; esac; done ;;
  events) echo "$*" >> "$ASKED"; printf '%064d\\n' 1 2 3; echo 'Cannot connect to the Docker daemon' ;;
esac
"""


@pytest.mark.usefixtures("spawned")
@pytest.mark.parametrize(
    ("wanted", "found"), [(None, [("one", 101), ("two", 202)]), (["two"], [("two", 202)]), (["six"], [])]
)
def test_pods_that_run_and_that_start_are_told_once_also_while_docker_restarts(
    wanted, found, tmp_path, monkeypatch
):
    docker, asked = tmp_path / "docker", tmp_path / "asked"
    docker.write_text(f"#!/bin/sh\n{DOCKER}")
    docker.chmod(0o755)
    for name, value in {"ASKED": asked, "PATH": f"{tmp_path}:{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(inside_pods, "AGAIN", 0.01)
    told: list[tuple[str, int]] = []
    ready: list[int] = []
    began = datetime.now(UTC).timestamp()
    pods = inside_pods.Pods(wanted, lambda *pod: told.append(pod), lambda: ready.append(len(told)))
    wait.until(
        lambda: len(ready) > 2 or wait.NotYet(ready), what="Docker to be asked a third time", timeout=60
    )
    pods.end()
    assert told == found
    assert ready[0] == len([name for name, _ in found if name == "one"])  # all that run, before any start
    since = [float(line.split()[-1]) for line in asked.read_text().splitlines()]
    assert began <= since[0] < since[1] <= datetime.now(UTC).timestamp()


@pytest.mark.parametrize(
    ("said", "first"),
    [
        (v2_event("set", "/x/y", 9, value=""), 10),
        (
            "Error:  401: The event in requested index is outdated and cleared"
            " (the requested history has been cleared [2010/11]) [3010]",
            2010,
        ),
        ("Error:  client: etcd cluster is unavailable or misconfigured", None),
        ("[set] /x/y", None),
    ],
)
def test_where_a_watch_of_the_v2_store_goes_on(said, first):
    assert inside.V2("/x").following(said) == first


def test_a_key_that_is_not_there_tells_the_index_of_the_v2_store_too():
    found = inside.NO_KEY.search("Error:  100: Key not found (/coreos.com/network/config) [9]\n")
    assert found is not None
    assert found[1] == "9"


ABOUT = {"fault": "delay", "targets": ["centos-minion01"], "options": {"time": "50ms"}}


def test_a_fault_on_several_machines_begins_and_ends_once():
    faults = Faults()
    assert list(faults.shown("a", {}, first=True)) == []
    assert list(faults.shown("a", {"0a1b": ABOUT}, first=False)) == [
        "fault delay centos-minion01 started (time 50ms)"
    ]
    assert list(faults.shown("b", {"0a1b": ABOUT}, first=False)) == []
    assert list(faults.shown("a", {}, first=False)) == []
    assert list(faults.shown("b", {}, first=False)) == ["fault delay centos-minion01 ended"]


def test_a_fault_of_before_is_told_as_such_and_a_machine_that_is_paused_by_its_container():
    faults = Faults()
    assert list(faults.shown("a", {"0a1b": ABOUT}, first=True)) == [
        "fault delay centos-minion01 was in force before (time 50ms)"
    ]
    assert list(faults.containers([("a", "running", "Up"), ("b", "paused", "Up (Paused)")])) == [
        "fault node-pause b started"
    ]
    assert list(faults.containers([("b", "paused", "Up (Paused)")])) == []
    assert list(faults.containers([("b", "running", "Up")])) == ["fault node-pause b ended"]


def test_a_machine_tells_of_its_records_when_they_change(tmp_path):
    folder = tmp_path / "faults"
    watch = inside.Faults(folder)
    assert watch.news() == (0, {})
    assert watch.news() is None
    folder.mkdir()
    (folder / "0a1b.json").write_text(json.dumps({"id": "0a1b", "about": ABOUT, "steps": []}))
    assert (watch.news() or ())[1:] == ({"0a1b": ABOUT},)
    os.utime(folder, ns=(1, 1))
    assert watch.news() == (1, {"0a1b": ABOUT})


TCP = (
    bytes.fromhex("4500003c1c4640004006b1e6c0a8c734c0a8c7331f90094b")
    + bytes(8)
    + bytes.fromhex("a002ffff00000000")
)


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (ICMP, RAW, "10.2.43.0 > 10.2.12.2  ICMP echo request 1"),
        (
            DATAGRAM, ETHERNET,
            "192.168.206.53:8285 > 192.168.206.52:8285  UDP [10.2.43.0 > 10.2.12.2  ICMP echo request 1]",
        ),
        (TCP, RAW, "192.168.199.52:8080 > 192.168.199.51:2379  TCP SYN"),
        (
            bytes.fromhex("ffffffffffff0242c0a8c73408060001080006040001"
                "0242c0a8c734c0a8c734000000000000c0a8c733"),
            ETHERNET, "192.168.199.52 > everybody  ARP who has 192.168.199.51",
        ),
        (
            # RFC 7348, 5: flags, VNI 1, then the frame inside.
            ETHER + bytes.fromhex("4500008600004000401100000a0000010a000002c350211800720000")
            + bytes.fromhex("0800000000000100")
            + ETHER + ICMP,
            ETHERNET, "10.0.0.1:50000 > 10.0.0.2:8472  VXLAN 1 [10.2.43.0 > 10.2.12.2  ICMP echo request 1]",
        ),
        (
            bytes.fromhex("4500006800004000400400000a0000010a000002") + ICMP, RAW,
            "10.0.0.1 > 10.0.0.2  IP in IP [10.2.43.0 > 10.2.12.2  ICMP echo request 1]",
        ),
        (
            bytes.fromhex("6000000000083a40") + bytes(15) + b"\1" + bytes(15) + b"\2"
            + bytes.fromhex("8000000000010007"), RAW, "::1 > ::2  ICMPv6 echo request 7",
        ),
        (
            bytes.fromhex("6000000000081140") + bytes(15) + b"\1" + bytes(15) + b"\2"
            + bytes.fromhex("0035d00300080000"), RAW, "[::1]:53 > [::2]:53251  UDP",
        ),
        (bytes.fromhex("450000541234201040110000") + UDP[12:20], RAW,
         "192.168.206.53 > 192.168.206.52  fragment at 128, protocol 17"),
        (ICMP[:15], RAW, "cut off"),
        (b"", ETHERNET, "cut off"),
        (ETHER[:12] + b"\x88\xcc" + bytes(20), ETHERNET, "02:42:c0:a8:ce:35 > 02:42:c0:a8:ce:34 type 0x88cc"),
    ],
)  # fmt: skip
def test_a_packet_in_a_line(data, kind, words):
    assert summary(data, kind) == words


def test_every_packet_may_be_cut_off_anywhere():
    for whole, kind in ((DATAGRAM, ETHERNET), (TCP, RAW)):
        for size in range(len(whole)):
            assert summary(whole[:size], kind)


def test_lines_are_one_below_the_other_and_what_happens_stands_between_them():
    said: list[bytes] = []
    output = Lines(said.append)
    output.place(ETH0)
    output.place(Place("pod a", ETHERNET))
    output.packets(
        [(packet(flags=2), ("fault delay started",)), (packet(place=Place("pod a", ETHERNET)), ())]
    )
    first, second, third = b"".join(said).decode().splitlines()
    assert first == "--- fault delay started"
    assert ".123456789  centos-minion01/eth0  out  192.168.206.53:8285 >" in second
    assert f"{datetime.fromtimestamp(AT // 10**9):%H:%M:%S}" in second
    assert third.index("192.168") == second.index("192.168")
    assert second.endswith(f", {len(DATAGRAM)} bytes")
    assert output.happened(["later"])


def test_a_file_bears_what_no_packet_has_followed_and_counts_each_place():
    said: list[bytes] = []
    output = File(said.append, 100, "why")
    output.place(ETH0)
    output.place(ETH0)
    assert not output.happened(["x"])
    output.end({ETH0: Counts(5, 2)}, ["x"])
    section, _, counted = blocks(b"".join(said))
    assert section.comments == ["why"]
    assert counted.comments == ["x"]
    assert number(counted.option(7), 0, 8) == 2


def test_places_are_machines_pods_and_links():
    nodes = [node.name for node in SPEC.nodes]
    one = meant("centos-minion01", "tutorial", nodes, PODS_THERE)
    link = meant("centos-minion02/flannel0", "tutorial", nodes, PODS_THERE)
    own = meant("mysql01", "tutorial", nodes, PODS_THERE)
    found = wanted([one, link, own, meant("centos-minion01/eth0", "tutorial", nodes, PODS_THERE)], nodes)
    on = pod("mysql01").node
    assert found["centos-minion01"].devices is None
    assert found["centos-minion02"].devices == ("flannel0",)
    assert found[on].pods == ("mysql01",)


def test_machines_without_a_place_tell_of_faults_and_leases_all_the_same():
    one = meant("centos-minion01/eth0", "tutorial", [node.name for node in SPEC.nodes], PODS_THERE)
    found = wanted([one], ["centos-master", "centos-minion01"])
    assert found == {"centos-master": Wanted(), "centos-minion01": Wanted(("eth0",))}


def test_without_a_word_the_underlay_and_all_pods_that_machines_have_or_will_have_are_meant():
    found = everything(SPEC, ["centos-master", "centos-minion01"])
    assert found == {"centos-master": Wanted(("eth0",)), "centos-minion01": Wanted(("eth0",), None)}
    two = spec.load_file(Path(__file__).parents[2] / "examples" / "two-racks.yaml", default_name="x")
    router = next(node for node in two.nodes if node.router)
    devices = everything(two, [router.name])[router.name].devices
    assert devices == tuple(f"eth{number}" for number in range(len(router.attachments)))


@pytest.mark.parametrize(
    ("word", "maybe"),
    [
        ("centos-minon01", "did you mean centos-minion01?"),
        ("minion01", "did you mean centos-minion01?"),
        ("mysql1", "did you mean mysql01?"),
        ("centos-minion1/eth0", "did you mean centos-minion01/eth0?"),
        ("minion01/eth0", "did you mean centos-minion01/eth0?"),
        ("zzz", "it has: centos-master, centos-minion01, centos-minion02, mysql01, mysql02"),
        ("/eth0", "its machines are: centos-master, centos-minion01, centos-minion02"),
        ("centos-master/", "its machines are: centos-master, centos-minion01, centos-minion02"),
    ],
)
def test_a_place_that_is_not_there_is_told_with_what_was_probably_meant(word, maybe):
    with pytest.raises(Unfit) as told:
        meant(word, "tutorial", [node.name for node in SPEC.nodes], PODS_THERE)
    assert told.value.message.endswith(f" {word}; {maybe}")


def test_a_device_that_is_not_there_is_told_with_those_that_are():
    require("n", ["eth0"], ["lo", "eth0"])
    with pytest.raises(Unfit, match=r"^n has no device flanel0; did you mean flannel0\?$"):
        require("n", ["flanel0"], ["lo", "eth0", "flannel0"])
    with pytest.raises(Unfit, match=r"^n has no device wg0; it has: lo, eth0$"):
        require("n", ["wg0"], ["lo", "eth0"])


def test_a_sink_tells_when_nobody_reads_any_more(monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setattr("lab.capture.output.STDOUT", writer)
    sink = Sink(None, lambda: False)
    sink.write(b"x" * 5000)
    sink.require_reader()
    assert os.read(reader, 9000) == b"x" * 5000
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        sink.require_reader()
    with pytest.raises(BrokenPipeError):
        sink.write(b"x")
    os.close(writer)


def test_a_reader_that_stands_still_does_not_hold_up_ctrl_c(monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setattr("lab.capture.output.STDOUT", writer)
    monkeypatch.setattr("lab.capture.output.STALLED", 0.1)
    with pytest.raises(BrokenPipeError):
        Sink(None, lambda: True).write(bytes(1 << 20))
    os.close(reader)
    os.close(writer)


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(Unfit, match="cannot be written: Is a directory"):
        Sink(tmp_path, lambda: False)


def test_the_program_is_a_folder_that_python_runs(tmp_path):
    program = installed(PROGRAM, tmp_path)
    asked = json.dumps({"devices": [], "pods": [], "filters": {}, "etcd": None})
    done = subprocess.run(
        [sys.executable, "-IS", str(program), asked], input=b"", capture_output=True, check=True, timeout=60
    )
    assert [it.kind for it in Reader().read(done.stdout)][-1] == "x"
