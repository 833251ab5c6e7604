"""A run's machines on several engines, as far as it can be tried without any."""

import json
import time
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.sandbox import Answer
from lab.scale.boxes import Boxes
from lab.scale.cluster import Cluster, Unsettled
from lab.scale.plan import Member, Node, Program, nodes
from lab.scale.setting import spread
from lab.spec.engine import EngineSpec, engines_in

HOME, FAR = EngineSpec(name="home"), EngineSpec(name="far", host="ssh://far")


class Container:
    """One whose programs answer what is said for them beforehand, the last of it again and again."""

    def __init__(self, *answers: Mapping[str, Any], boot: str = "one", ahead: float = 0.0) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []
        self.boot, self.ahead = boot, ahead
        self.forked = 0

    def clock(self) -> Mapping[str, Any]:
        return {"boot": self.boot, "at": time.monotonic() + self.ahead, "wall": time.time()}

    def fork(self, *_argv: str, netns: str) -> tuple[int, str]:
        self.forked += 1
        return self.forked, netns

    def script(self, _text: str) -> None:
        pass

    def load(self, _package: str, _folder: str) -> None:
        pass

    def spawn(self, *_argv: str) -> tuple[int, str]:
        return 1, "log"

    def says(self, *_what: object) -> None:
        pass

    def read(self, _path: str) -> str:
        return "the last words"

    def run(self, *argv: str, given: str = "", **_: object) -> Answer:
        out = ""
        if argv[0] == "python3":
            self.asked.append(json.loads(given))
            out = json.dumps(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        return Answer(exit=0, out=out, err="")


def boxes(*containers: Container) -> Boxes:
    addresses = [IPv4Address("192.0.2.2") + place for place in range(len(containers))]
    return Boxes({f"e{place}": item for place, item in enumerate(containers)}, addresses)  # type: ignore[misc]


def cluster(*containers: Container) -> Cluster:
    """Four nodes that were started."""
    found = Cluster(boxes(*containers), Program(), "vxlan", 1)
    found.begin(nodes(4))
    found.start(nodes(4))
    return found


def leases(*subnets: str) -> Mapping[str, Any]:
    return {"subnets": list(subnets)}


def done(at: float, began: float | None) -> Mapping[str, Any]:
    return {"at": at, "began": began, "looked": 0.1}


def test_machines_are_shared_out_and_each_engine_has_its_own_done() -> None:
    one, other = Container(), Container()
    found = cluster(one, other)
    assert (one.forked, other.forked) == (2, 2)
    assert found.box("n2") is other  # type: ignore[comparison-overlap]
    assert found.box("m1") is one  # type: ignore[comparison-overlap]
    assert list(found.running) == list(nodes(4))


def test_links_have_room_for_what_carries_them_between_engines() -> None:
    assert boxes(Container()).mtu == 1500
    assert boxes(Container(), Container()).mtu == 1400


def test_a_time_of_another_kernel_is_told_in_the_first_ones() -> None:
    both = boxes(Container(), Container(boot="two", ahead=1000.0), Container(ahead=5.0))
    shifts = [both.shift(both.of(node)) for node in nodes(3)]
    assert shifts[0] == 0.0
    assert shifts[1] == pytest.approx(-1000.0, abs=0.1)
    assert shifts[2] == 0.0  # of one boot there is one clock


def test_each_engine_s_nodes_are_to_know_those_of_the_others() -> None:
    one = Container(leases("a", "c"), done(5.0, 2.0), leases("a", "c"))
    other = Container(leases("b", "d"), done(7.0, 1.5), leases("b", "d"))
    assert cluster(one, other).settled("start") == {"at": 7.0, "began": 1.5, "looked": 0.2}
    assert [node["name"] for node in one.asked[1]["nodes"]] == ["n1", "n3"]
    assert sorted(one.asked[1]["more"]) == sorted(other.asked[1]["more"]) == ["a", "b", "c", "d"]


def test_an_engine_without_a_node_knows_no_beginning() -> None:
    empty = Container(leases(), done(6.0, None), leases())
    one = Container(leases("a"), done(5.0, 2.0), leases("a"))
    assert cluster(one, empty).settled("start")["began"] == 2.0


def test_nodes_are_looked_at_again_where_one_has_leased_another_subnet_meanwhile() -> None:
    one = Container(leases("a"), done(5.0, 2.0), leases("b"), leases("b"), done(6.0, 2.0), leases("b"))
    other = Container(*[leases("x"), done(5.0, 2.0), leases("x")] * 2)
    assert cluster(one, other).settled("start")["at"] == 6.0
    assert sorted(other.asked[4]["more"]) == ["b", "x"]


def test_a_daemon_that_has_ended_on_any_engine_is_named() -> None:
    one, other = Container(leases("a", "c")), Container({"ended": {"n2": 1}})
    with pytest.raises(Unsettled, match=r"the daemons of n2 have ended; .* the last words"):
        cluster(one, other).settled("start")


def test_what_is_on_several_engines_is_found_by_its_network_s_label() -> None:
    label = spread("vxlan", (HOME, FAR)).with_name("scale-1").to_json()
    assert engines_in(label) == (HOME, FAR)


def test_machines_know_their_places_by_their_numbers() -> None:
    assert (Node(2).place(2), Member(3).place(2)) == (1, 0)
