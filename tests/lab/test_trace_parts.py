"""The parts of a trace: filters as tc lists them, marks in packets, and the ends."""

import json
import struct
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from lab.errors import LabError, Unfit
from lab.render.trace import trace as rendered
from lab.trace.asked import Asked
from lab.trace.ends import Container, Known, as_sent, find_end
from lab.trace.inside.taps import BPF_JEQ, BPF_LD_W_ABS, BPF_RET, accepting
from lab.trace.machine import Machine, parse_machine
from lab.trace.marks import Marks
from lab.trace.packet import Packet
from lab.trace.traffic_control import follow, shaping
from lab.trace.world import End
from tests.lab.examples import pod
from tests.lab.test_trace import nothing_after
from tests.lab.trace_world import ONE, OUTSIDE, SUBNETS, TWO, world


def tables(**given: object) -> dict[str, object]:
    empty = {"links": "[]", "neighbours": "[]", "fdb": "[]", "qdiscs": "[]", "nft": ""}
    rest: dict[str, object] = {"filters": [], "settings": {}, "listeners": [], "missing": {}, "inode": 1}
    return {**empty, **rest, **given}


def link(name: str, index: int, flags: str = "UP LOWER_UP", **more: object) -> dict[str, object]:
    return {"ifindex": index, "ifname": name, "flags": flags.split(), "mtu": 1500, "addr_info": [], **more}


# As tc of iproute2 6.15 prints it: a member `match` for each key, and an empty item for the hash table.
U32 = """[{"protocol":"ip","pref":9,"kind":"u32","chain":0},
{"protocol":"ip","pref":9,"kind":"u32","chain":0,"options":{"fh":"800:","ht_divisor":1}},
{"protocol":"ip","pref":9,"kind":"u32","chain":0,"options":{"fh":"800::800","order":2048,
"match":{"value":"110000","mask":"ff0000","offmask":"","off":8},
"match":{"value":"c0000202","mask":"ffffffff","offmask":"","off":16},
"actions":[{"order":1,"kind":"mirred","mirred_action":"redirect","direction":"egress","to_dev":"hole",
"control_action":{"type":"stolen"}}]}}]"""


def machine(hole: str) -> Machine:
    veth: dict[str, Any] = {"linkinfo": {"info_kind": "veth"}}
    there = tables(
        links=json.dumps(
            [link("eth0", 2, link_index=9, **veth), link("hole", 3, hole, link="hole-x", **veth)]
        ),
        filters=[{"device": "eth0", "place": "egress", "text": U32}],
        qdiscs='[{"kind":"netem","dev":"eth0","root":true,"options":{"limit":1000}},{"kind":"clsact","dev":"eth0"}]',
    )
    told = {"namespaces": {"": there}, "machine": {"boot": "b", "holders": []}}
    return parse_machine(ONE, told)


def test_a_filter_takes_what_all_its_keys_match():
    here = machine("DOWN")
    udp = Packet(ip_address("192.0.2.1"), ip_address("192.0.2.2"), "udp", 100, 8285)
    found = follow(here, here.own, "eth0", "egress", udp)
    assert found is not None
    assert found.ends == "hole is down"
    for other in (
        Packet(udp.source, ip_address("192.0.2.3"), "udp", 100),
        Packet(udp.source, udp.destination, "tcp", 100),
    ):
        assert follow(here, here.own, "eth0", "egress", other) is None
    assert follow(here, here.own, "eth0", "ingress", udp) is None


def test_a_detour_that_leads_nowhere_says_where_it_ends():
    here = machine("UP LOWER_UP")
    udp = Packet(ip_address("192.0.2.1"), ip_address("192.0.2.2"), "udp", 100, 8285)
    found = follow(here, here.own, "eth0", "egress", udp)
    assert found is not None
    assert found.ends == "the other end of hole is elsewhere"


def test_of_queueing_disciplines_those_that_do_more_are_found():
    here = machine("DOWN")
    queue = shaping(here.own, "eth0")
    assert queue is not None
    assert str(queue) == "qdisc netem (limit 1000)"


MARK = 0x8BADF00D


def ipv4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    ends = ip_address(source).packed + ip_address(destination).packed
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + ends + payload


def ipv6(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    ends = ip_address(source).packed + ip_address(destination).packed
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload


def echo(kind: int = 8) -> bytes:
    data = struct.pack("!IH", MARK, 5) + bytes(range(50))
    return struct.pack("!BBHHH", kind, 0, 0, 1, 5) + data


INNER = ipv4("10.2.1.2", "10.2.2.2", 1, echo())
OUTER = "192.168.50.11", "192.168.50.12"
UDP = struct.pack("!HHHH", 8285, 8285, 0, 0)
ETHERNET = bytes(12) + b"\x08\x00"
VXLAN = struct.pack("!II", 1 << 27, 1 << 8)
SHAPES = {
    "plain": INNER,
    "udp": ipv4(*OUTER, 17, UDP + INNER),
    "vxlan": ipv4(*OUTER, 17, UDP + VXLAN + ETHERNET + INNER),
    "vxlan over IPv6": ipv6("fd00::1", "fd00::2", 17, UDP + VXLAN + ETHERNET + INNER),
    "ipip": ipv4(*OUTER, 4, INNER),
}


def accepts(program: list[tuple[int, int, int, int]], data: bytes) -> bool:
    """What the kernel does with a classic packet filter (Documentation/networking/filter.rst)."""
    at, a = 0, 0
    while True:
        code, if_true, if_false, k = program[at]
        if code == BPF_RET:
            return k > 0
        if code == BPF_LD_W_ABS:
            if k + 4 > len(data):
                return False
            a = int.from_bytes(data[k : k + 4])
            at += 1
        else:
            assert code == BPF_JEQ
            at += 1 + (if_true if a == k else if_false)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_probe_is_found_in_whatever_carries_it(shape):
    marks = Marks(MARK, "icmp", 4)
    data = SHAPES[shape]
    program = accepting(marks.values(), marks.offsets())
    assert accepts(program, data)
    assert not accepts(program, data.replace(struct.pack("!I", MARK), bytes(4)))
    assert len(program) < 4096  # BPF_MAXINSNS
    (found,) = marks.read(ONE, "", [{"device": "eth0", "way": "in", "at": 1.5, "data": data.hex()}])
    assert (found.kind, found.number, found.whole) == ("probe", 5, True)
    assert (str(found.source), str(found.destination)) == ("10.2.1.2", "10.2.2.2")
    assert (found.outer is None) == (shape == "plain")


def test_answers_and_errors_are_told_from_probes():
    def kind(marks: Marks, data: bytes) -> tuple[str, int]:
        assert accepts(accepting(marks.values(), marks.offsets()), data)
        (found,) = marks.read(ONE, "", [{"device": "eth0", "way": "in", "at": 0, "data": data.hex()}])
        return found.kind, found.number

    icmp = Marks(MARK, "icmp", 4)
    assert kind(icmp, ipv4("10.2.2.2", "10.2.1.2", 1, echo(0))) == ("answer", 5)
    error = struct.pack("!BBHI", 3, 1, 0, 0) + INNER[:48]
    assert kind(icmp, ipv4("10.2.1.1", "10.2.1.2", 1, error)) == ("error", 5)
    tcp = Marks(MARK, "tcp", 4, from_port=61000)
    syn = struct.pack("!HHII", 61003, 3306, MARK, 0) + bytes(8)
    assert kind(tcp, ipv4("10.2.1.2", "10.2.2.2", 6, syn)) == ("probe", 3)
    both = struct.pack("!HHII", 3306, 61003, 99, MARK + 1) + bytes(8)
    assert kind(tcp, ipv4("10.2.2.2", "10.2.1.2", 6, both)) == ("answer", 3)
    six = Marks(MARK, "icmp", 6)
    assert kind(six, ipv6("fd00::1", "fd00::2", 58, echo(128))) == ("probe", 5)
    assert kind(six, ipv6("fd00::2", "fd00::1", 58, echo(129))) == ("answer", 5)


def test_a_changed_payload_is_noticed():
    data = INNER[:-1] + b"\xff"
    (found,) = Marks(MARK, "icmp", 4).read(
        ONE, "", [{"device": "eth0", "way": "in", "at": 0, "data": data.hex()}]
    )
    assert not found.whole


def known() -> Known:
    return Known(
        {ONE: [ip_address("192.168.50.11"), ip_address("fd00::11")], TWO: [ip_address("192.168.50.12")]},
        [pod("mysql01")],
        [Container("web", ONE, 77, (ip_address("10.2.1.9"),))],
    )


def test_ends_are_pods_machines_containers_and_addresses():
    there = known()
    assert find_end(ONE, there, 4).address == ip_address("192.168.50.11")
    assert find_end(ONE, there, 6).address == ip_address("fd00::11")
    container = find_end(f"{ONE}/web", there, 4)
    assert (container.namespace, there.process(container)) == ("web", 77)
    own = find_end("mysql01", there, 4)
    assert own == find_end(str(own.address), there, 4)
    assert find_end("fd00::11", there, 4).machine == ONE
    assert find_end("8.8.8.8", there, 4).machine == ""


def test_a_machine_sends_from_the_address_that_its_kernel_takes():
    it = world("vxlan")
    machine = End(ONE, ONE, "", ip_address(OUTSIDE[ONE]))
    assert as_sent(machine, it.end, it.ask).address == ip_address(f"{SUBNETS[ONE]}.0")  # flannel.1's
    other = End(TWO, TWO, "", ip_address(OUTSIDE[TWO]))
    assert as_sent(machine, other, it.ask) == machine
    it.change_link(ONE, "eth0", addresses=(ip_interface("192.168.50.99/24"),))
    assert as_sent(machine, other, it.ask) == machine  # it has that address no more


def test_what_is_no_end_says_what_there_is():
    with pytest.raises(Unfit, match="nosuch is no pod") as failed:
        find_end("nosuch", known(), 4)
    assert "mysql01" in failed.value.hint
    with pytest.raises(LabError, match=f"{TWO} has no IPv6 address"):
        find_end(TWO, known(), 6)
    silent = Known({}, [], silent={ONE: "its container is paused"})
    with pytest.raises(
        LabError, match=f"whether there is a pod web is not known: {ONE}: its container is paused"
    ):
        find_end("web", silent, 4)


def test_what_a_person_reads_names_the_hop_and_the_command():
    it = world("udp")
    it.change_link(TWO, "docker0", up=False)
    text = rendered(
        Asked("web", "db"), it.start, it.end, it.trace(nothing_after(TWO, "eth0", "in")), width=120
    )
    assert "LINK_DOWN at minion2" in text
    assert "fix:      lab exec minion2 -- ip link set dev docker0 up" in text
    assert "20 probes sent, 0 answered." in text
    assert all(len(line) <= 120 for line in text.splitlines() if "fix:" not in line and "so:" not in line)
