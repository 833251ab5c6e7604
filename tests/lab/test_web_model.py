"""What the page of `lab serve` shows, from what was seen."""

import json
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab import status
from lab.errors import LabError
from lab.faults.status import InForce, Part, Status
from lab.observe import File
from lab.web.changes import compared, facts
from lab.web.document import state
from lab.web.links import links, places, questions
from lab.web.model import Rate, Seen, rates, watched_of
from tests.lab.examples import AT, changed, observation, silent
from tests.lab.served import MASTER, ONE, TWO, seen, watched

FAULT = InForce("ab12", "mtu", AT, (ONE,), (ONE,), {}, (Part(ONE, True, "eth0 has 1300"),))


def link(shown: Seen, name: str) -> Any:
    return next(item for item in links(shown) if item.id == name)


def document(shown: Seen) -> Any:
    nodes = status.nodes(shown.observation) if shown.observation is not None else ()
    return json.loads(json.dumps(state(shown, nodes)))


def test_a_pod_stands_for_its_node_and_docker0_where_there_is_none():
    pods = observation().pods
    assert {name: (it.address, it.pid) for name, it in places(observation(), pods).items()} == {
        ONE: ("10.2.35.2", 4711),
        TWO: ("10.2.52.2", 4711),
    }
    own = [pod for pod in pods if pod.node == ONE]
    assert places(observation(), own)[TWO].address == "10.2.52.1"
    assert places(observation(), own)[TWO].pid == 0


@pytest.mark.parametrize("subnet", ["nonsense", "10.2.52.1/99", ""])
def test_a_node_whose_subnet_env_is_broken_has_no_place_in_the_overlay(subnet):
    env = File(f"FLANNEL_SUBNET={subnet}\n")
    broken = changed(observation(), TWO, subnet_env=env)
    own = [pod for pod in broken.pods if pod.node == ONE]
    assert set(places(broken, own)) == {ONE}


def test_a_machine_probes_its_peers_its_segment_and_its_own_pods():
    (node,) = [node for node in observation().spec.nodes if node.name == ONE]
    asked = questions(observation(), observation().pods, node)
    (own,) = [pod.name for pod in observation().pods if pod.node == ONE]
    assert asked["pods"] == {own: 4711}
    assert {key: it["to"] for key, it in asked["pings"].items()} == {
        f"overlay {TWO}": "10.2.52.2",
        f"segment underlay {MASTER}": "192.168.199.51",
        f"segment underlay {TWO}": "192.168.199.53",
        f"pod {own}": "10.2.35.2",
    }


def test_without_a_pod_the_echo_request_comes_from_docker0():
    (node,) = [node for node in observation().spec.nodes if node.name == ONE]
    asked = questions(observation(), (), node)["pings"][f"overlay {TWO}"]
    assert asked == {"pid": 0, "to": "10.2.52.1", "source": "10.2.35.1"}


def test_a_link_is_ok_when_both_directions_are_and_broken_when_one_is():
    assert link(seen(), f"overlay {ONE} {TWO}").state == "ok"
    one_way = seen(watched=watched(broken=[f"overlay {TWO}"]))
    found = link(one_way, f"overlay {ONE} {TWO}")
    assert found.state == "broken"
    assert found.words == f"{ONE} to {TWO}: no answer in 0.9 s; {TWO} to {ONE}: 0.4 ms"


def test_a_link_whose_end_does_not_tell_is_unknown_not_ok():
    half = {name: it for name, it in watched().items() if name != TWO}
    found = link(seen(watched=half), f"overlay {ONE} {TWO}")
    assert (found.state, found.age) == ("unknown", 1.0)
    assert f"{TWO} to {ONE}: not known" in found.words


def test_a_node_reaches_its_segment_if_anybody_there_answers():
    one_lost = seen(watched=watched(broken=[f"segment underlay {ONE}"]))
    assert link(one_lost, f"segment {MASTER} underlay").state == "ok"
    cut_off = seen(watched=watched(broken=[f"segment underlay {MASTER}"]))
    assert link(cut_off, f"segment {ONE} underlay").state == "broken"


def test_of_a_machine_that_stands_still_the_others_tell():
    others = watched(broken=[f"segment underlay {TWO}", f"overlay {TWO}"])
    stands = {name: it for name, it in others.items() if name != TWO}
    found = link(seen(watched=stands), f"segment {TWO} underlay")
    assert (found.state, found.words) == ("broken", "it answers 0 of 1 other nodes")
    pods = [replace(pod, status="unknown") for pod in observation().pods]
    assert places(observation(), pods)[TWO].address == "10.2.52.2"
    assert link(seen(watched=stands), f"overlay {ONE} {TWO}").state == "broken"


def test_a_rate_is_of_the_device_over_the_machines_own_clock():
    assert link(seen(), f"segment {ONE} underlay").rate == Rate(1000.0, 500.0)
    assert rates({"a": (500, 500)}, {"a": (20, 30), "b": (7, 7)}, 2.0) == {"a": Rate(10.0, 15.0)}
    assert rates({"a": (1, 1)}, {"a": (2, 2)}, 0.0) == {}


def test_a_link_of_the_overlay_has_what_pods_of_both_ends_exchange():
    assert link(seen(), f"overlay {ONE} {TWO}").rate == Rate(30.0, 20.0)
    without = {name: it for name, it in watched(clock=102.0).items() if name != ONE}
    assert link(seen(watched=without), f"overlay {ONE} {TWO}").rate == Rate(20.0, 30.0)
    assert link(seen(watched={}), f"overlay {ONE} {TWO}").rate is None


def test_a_machine_counts_what_its_pods_exchange_with_the_subnets_of_the_others():
    master, one, _ = observation().spec.nodes
    assert questions(observation(), (), one)["peers"] == {TWO: ["10.2.52.0/24"]}
    assert questions(observation(), (), master)["peers"] == {}
    both = File("FLANNEL_SUBNET=10.2.52.1/24\nFLANNEL_IPV6_SUBNET=2001:cafe:42:7::1/64\n")
    dual = changed(observation(), TWO, subnet_env=both)
    assert questions(dual, (), one)["peers"] == {TWO: ["10.2.52.0/24", "2001:cafe:42:7::/64"]}


def test_an_answer_that_cannot_be_read_is_told():
    with pytest.raises(LabError, match="the program that counts bytes answered with"):
        watched_of({"clock": 1})


def test_the_document_has_everything_before_anything_was_seen():
    empty = document(Seen(AT, "demo"))
    assert (empty["lab"], empty["nodes"], empty["links"], empty["leases"]) == ("demo", [], [], None)
    assert document(seen()).keys() == empty.keys()


def test_the_document_tells_whose_lease_it_is_and_how_long_it_lasts():
    lease = document(seen())["leases"][0]
    assert (lease["subnet"], lease["node"], lease["secondsLeft"]) == ("10.2.35.0/24", ONE, 86390)


def test_a_node_has_its_bytes_a_second_and_what_flanneld_says_of_itself():
    told = watched(clock=102.0, ready=(503, "degraded: etcd\n"))
    node = document(seen(watched=told))["nodes"][1]
    assert node["devices"] == [{"name": "eth0", "receivedPerSecond": 1000, "sentPerSecond": 500}]
    assert node["readiness"] == {"status": 503, "text": "degraded: etcd"}


def test_every_key_is_camel_case():
    def keys(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [*value, *(key for item in value.values() for key in keys(item))]
        return [key for item in value for key in keys(item)] if isinstance(value, list) else []

    whole = document(seen(faults=Status((FAULT,), {TWO: "no answer"})))
    assert [key for key in keys(whole) if not key.isalnum() or key[0].isupper()] == []


def told(before: Seen, now: Seen) -> list[tuple[str, str, str, bool | None]]:
    known, first = compared({}, facts(before), AT)
    assert first == []
    return [(it.subject, it.name, it.words, it.good) for it in compared(known, facts(now), AT)[1]]


def test_nothing_new_is_no_line():
    assert told(seen(), seen()) == []


def test_a_fault_and_the_link_that_it_breaks_are_lines():
    worse = seen(faults=Status((FAULT,), {}), watched=watched(broken=[f"overlay {TWO}"]))
    assert told(seen(), worse) == [
        ("fault", f"ab12 mtu {ONE}", "began: on", False),
        ("link", f"overlay {ONE} {TWO}", "broken, was ok", False),
    ]
    assert told(worse, seen()) == [
        ("fault", f"ab12 mtu {ONE}", "ended", True),
        ("link", f"overlay {ONE} {TWO}", "ok, was broken", True),
    ]


def test_a_lease_that_is_gone_is_a_line_and_one_that_nobody_tells_of_is_none():
    without = changed(observation(), MASTER, leases=())
    assert [line[:3] for line in told(seen(), seen(observation=without))] == [
        ("lease", "10.2.35.0-24", "gone"),
        ("lease", "10.2.52.0-24", "gone"),
    ]
    mute = changed(observation(), MASTER, leases=None)
    assert told(seen(), seen(observation=mute)) == []


def test_a_machine_that_tells_nothing_changes_nothing_and_what_changed_meanwhile_is_told_after():
    hangs = observation()
    hangs = replace(hangs, nodes={**hangs.nodes, ONE: silent(hangs.nodes[ONE], "no answer")})
    known, _ = compared({}, facts(seen()), AT)
    known, nothing = compared(known, facts(seen(observation=hangs)), AT)
    assert nothing == []
    broken = seen(watched=watched(broken=[f"overlay {TWO}"]))
    assert [it.words for it in compared(known, facts(broken), AT)[1]] == ["broken, was ok"]


def test_a_lab_that_is_gone_is_one_line_and_so_is_its_return():
    gone = seen(problem="there is no lab tutorial")
    assert told(seen(), gone) == [("lab", "tutorial", "there is no lab tutorial, was there", False)]
    assert told(gone, seen()) == [("lab", "tutorial", "there, was there is no lab tutorial", True)]


def test_addresses_of_a_document_are_text():
    assert isinstance(observation().nodes[ONE].address, IPv4Address)
    assert document(seen())["nodes"][1]["address"] == "192.168.199.52"
