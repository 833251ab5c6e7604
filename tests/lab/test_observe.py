"""Asking a lab: few calls a node, what it answers read into values, and silence as a value."""

import base64
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import checks, status, wait
from lab.errors import LabError
from lab.observe import Lease, Observation, Silent, Topic, observe, stream
from lab.observe.model import Output
from lab.observe.parse import parse_leases, parse_links, parse_login, parse_routes, subnets_of_key
from lab.spec import Flanneld, Program
from tests.lab.examples import (
    AT,
    FOLDER,
    MINIONS,
    SPEC,
    FakeLab,
    FakeNode,
    etcd_answer,
    fake_lab,
    ip_json,
    known,
    link,
    master,
    observation,
)

ONE, TWO = MINIONS
MASTER = "centos-master"


@pytest.fixture(autouse=True)
def usual_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages tell how long a machine had, which is longer where LAB_PATIENCE says so."""
    monkeypatch.delenv("LAB_PATIENCE", raising=False)


def failures(seen: Observation) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (item.id, str(item.subject)): (item.expected.text, item.seen.text)
        for item in checks.failed(checks.judge(seen))
    }


def at_one_time(seen: Observation) -> Observation:
    return replace(seen, nodes={name: replace(node, at=AT) for name, node in seen.nodes.items()})


def test_what_a_lab_tells_is_read_as_it_is() -> None:
    assert at_one_time(observe(fake_lab())) == observation()
    assert checks.failed(checks.run_all(fake_lab())) == []


def node_of(kind: type[FakeNode], node: FakeNode) -> FakeNode:
    return kind(**{item.name: getattr(node, item.name) for item in fields(node)})


def test_a_node_is_asked_at_most_twice_for_everything() -> None:
    calls: list[str] = []

    class Counting(FakeNode):
        def run_each(self, *args: Any, **options: Any) -> Any:
            calls.append(self.name)
            return super().run_each(*args, **options)

    lab = fake_lab()
    minions = tuple(node_of(Counting, node) for node in lab.minions)
    observe(FakeLab(node_of(Counting, lab.master), minions))
    assert sorted(calls) == [MASTER, ONE, ONE, TWO, TWO]


def test_only_what_is_asked_for_is_asked() -> None:
    lab = fake_lab()
    seen = observe(lab, {Topic.LEASES})
    assert set(lab.master.asked) == {"leases"}
    assert [node.asked for node in lab.minions] == [{}, {}]
    assert seen.leases == master().leases
    assert seen.minions[0].links is None


def with_masquerading() -> FakeLab:
    options = {"flanneld_options": ("-iface=eth0", "-ip-masq")}
    return replace(fake_lab(), spec=SPEC.model_copy(update=options))


@cache
def everything() -> Observation:
    return at_one_time(observe(with_masquerading()))


@pytest.mark.parametrize("check", checks.every_check(), ids=lambda check: check.id)
def test_a_check_needs_no_more_than_it_says(check: checks.Check) -> None:
    alone = at_one_time(observe(with_masquerading(), check.needs))
    assert checks.judge(alone, [check]) == checks.judge(everything(), [check])


def test_a_configuration_that_is_gone_is_an_answer_by_either_api() -> None:
    lab = fake_lab()
    # etcdctl, of a key that is missing: nothing by the v3 API, and this by the v2 API.
    told = "Error:  100: Key not found (/coreos.com/network/config) [12]"
    for answer, expected in ((("", "", 0), ""), (("", told, 4), "")):
        master = replace(lab.master, answers={**lab.master.answers, "config": answer})
        assert observe(replace(lab, master=master), {Topic.CONFIG}).config == expected
    dead = replace(
        lab.master, answers={**lab.master.answers, "config": ("", "Error:  client: etcd cluster is", 4)}
    )
    assert observe(replace(lab, master=dead), {Topic.CONFIG}).config is None


def hanging(name: str) -> FakeLab:
    lab = fake_lab()
    minions = tuple(replace(node, hangs=node.name == name) for node in lab.minions)
    return replace(lab, minions=minions)


def test_a_node_that_hangs_is_silent_and_hides_nobody_else() -> None:
    seen = observe(hanging(ONE))
    silence, other = seen.nodes[ONE].silent, seen.nodes[TWO]
    assert silence is not None
    assert silence.reason == "did not answer in 60 s"
    assert silence.since == seen.nodes[ONE].at
    assert seen.nodes[ONE].silences == (silence,)
    assert at_one_time(seen).nodes[MASTER] == master()
    whole = observation().nodes[TWO]
    assert (other.silences, other.links, other.routes) == ((), whole.links, whole.routes)
    # No ping is sent to a pod of which nobody tells; the probe says why it had nobody to send to.
    assert other.pings == ()
    assert [ping.error for ping in known(other.probes)] == [f"{ONE}: did not answer in 60 s"]


@pytest.mark.parametrize("only", ["node.answers", "ping.nodes", "leases.value"])
def test_a_node_that_hangs_is_told_of_whichever_checks_are_asked_for(only: str) -> None:
    chosen = checks.chosen([only])
    seen = observe(hanging(ONE), checks.topics_of(chosen))
    assert ("node.answers", ONE) in {
        (finding.id, str(finding.subject)) for finding in checks.failed(checks.judge(seen, chosen))
    }


def test_a_probe_has_a_pods_place_to_stand_in_also_when_only_probes_are_asked_for() -> None:
    lab = fake_lab()
    observe(lab, checks.topics_of(checks.chosen(["ping.nodes"])))
    for node in lab.minions:
        (pod,) = [pod for pod in observation().pods if pod.node == node.name]
        assert node.conversed[0][-2:] == [str(pod.infra_pid), str(pod.address)]


def test_the_status_of_a_node_that_hangs_is_one_line_and_the_others_have_theirs() -> None:
    hung, well = (node for node in status.nodes(status.look(hanging(ONE))) if node.role == "minion")
    assert [silence.reason for silence in hung.silences] == ["did not answer in 10 s"]
    assert (hung.ok, hung.services, well.ok, well.subnet) == (False, (), True, "10.2.52.1/24")


def test_a_patient_lab_waits_longer_for_a_node_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PATIENCE", "3")
    silence = observe(hanging(ONE)).nodes[ONE].silent
    assert silence is not None
    assert silence.reason == "did not answer in 180 s"


def test_each_node_is_told_of_as_it_answers_and_once_more_with_what_it_sees_of_others() -> None:
    found = list(stream(fake_lab()))
    first, second = found[:3], found[3:]
    assert {node.name for node in first} == {MASTER, ONE, TWO}
    assert [node.pings for node in first] == [None, None, None]
    assert {node.name: len(known(node.pings)) for node in second} == {ONE: 1, TWO: 1}


def test_who_answers_is_told_of_before_who_is_slow() -> None:
    heard: list[str] = []

    def heard_of(names: Sequence[str]) -> bool | wait.NotYet:
        return set(names) <= set(heard) or wait.NotYet(heard)

    class Slow(FakeNode):
        """Answers when the others have been told of, and not before."""

        def run_each(self, *args: Any, **options: Any) -> Any:
            wait.until(lambda: heard_of([MASTER, TWO]), what="news of the others", timeout=60)
            return super().run_each(*args, **options)

    lab = fake_lab()
    one, two = lab.minions
    for node in stream(replace(lab, minions=(node_of(Slow, one), two)), {Topic.SERVICES}):
        heard.append(node.name)  # noqa: PERF401 - it is looked at meanwhile
    assert heard[-1] == ONE


def test_a_node_that_cannot_run_what_asks_is_silent_in_one_line() -> None:
    lab = fake_lab()
    lab.nodes[ONE].answers.clear()
    silence = observe(lab).nodes[ONE].silent
    assert silence is not None
    assert silence.reason == "the program that runs commands has ended: python3: not found"


def test_an_answer_that_nobody_can_read_is_a_silence_of_that_question_alone() -> None:
    lab = fake_lab()
    lab.nodes[ONE].answers["links mysql02"] = ("no JSON", "", 0)
    lab.nodes[TWO].answers["links"] = ("no JSON", "", 0)
    seen = observe(lab)
    (one,), (two,) = seen.nodes[ONE].silences, seen.nodes[TWO].silences
    assert one.question.startswith("nsenter --target 4711 --net ip ")
    assert two.question == "ip -json address show"
    assert isinstance(seen.nodes[TWO].links, Silent)
    assert seen.nodes[TWO].routes == observation().nodes[TWO].routes


def test_the_client_is_the_tutorials_inside_the_other_pod_and_the_password_is_no_argument_of_it() -> None:
    lab = fake_lab()
    observe(lab)
    argv = lab.nodes[ONE].asked["mysql mysql02 mysql01"]
    assert argv[:2] == ["docker", "exec"]
    client = argv[argv.index("mysql02_mysql02") + 1 :]
    assert client[:3] == ["mysql", "-uroot", "-h10.2.52.2"]
    assert not [word for word in client if "p123456" in word]


def test_pymysql_runs_on_the_node_inside_the_pods_network_namespace() -> None:
    lab = fake_lab()
    observe(lab)
    argv = lab.nodes[ONE].asked["pymysql mysql02 mysql01"]
    assert argv[:4] == ["nsenter", "--target", "4711", "--net"]


def test_a_flanneld_that_wrote_no_subnet_env_is_a_finding() -> None:
    lab = fake_lab()
    words = "cat: /run/flannel/subnet.env: No such file or directory"
    lab.nodes[ONE].answers["subnet.env"] = ("", f"{words}\n", 1)
    assert failures(observe(lab))["subnet-env.text", ONE][1] == words


def test_an_etcd_that_does_not_answer_is_a_finding_with_its_words_and_all_else_is_compared() -> None:
    lab = fake_lab()
    lab.master.answers["config"] = ("", "Error: context deadline exceeded\n", 1)
    seen = observe(lab)
    asked = "etcdctl get --print-value-only /coreos.com/network/config"
    assert failures(seen) == {
        ("node.answers", MASTER): (f"an answer to: {asked}", "Error: context deadline exceeded")
    }
    made = {(item.id, item.subject) for item in checks.judge(seen) if item.ok}
    every = {(item.id, item.subject) for item in checks.judge(observation())}
    assert {identifier for identifier, _ in every - made} == {"config.value"}


def test_a_question_that_is_not_answered_in_time_is_a_finding_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAB_PATIENCE", "2")
    lab = fake_lab()
    lab.nodes[ONE].answers["routes"] = ("", "", 124)
    assert failures(observe(lab)) == {
        ("node.answers", ONE): ("an answer to: ip -4 route show", "no answer within 120 s")
    }


def test_a_flanneld_of_somebodys_own_that_runs_when_asked_for_its_version_is_a_finding() -> None:
    program = Program(path="/mine", digest="0", architecture="any")
    nodes = [
        node.model_copy(update={"flanneld": Flanneld(program=program)}) if node.name == ONE else node
        for node in SPEC.nodes
    ]
    lab = replace(fake_lab(), spec=SPEC.model_copy(update={"nodes": tuple(nodes)}))
    lab.nodes[ONE].answers["version"] = ("", "", 137)
    found = failures(observe(lab))
    assert found["node.answers", ONE] == (
        "an answer to: flanneld -version",
        "it did not end in 10 s, and was killed",
    )
    lab.nodes[ONE].answers["version"] = ("mydaemon 0.1\n", "", 0)
    assert ("node.answers", ONE) not in failures(observe(lab))


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_subnets_key_is_read_back(address: int, length: int) -> None:
    network = IPv4Network((address, length), strict=False)
    assert subnets_of_key(f"{FOLDER}/{str(network).replace('/', '-')}") == (network, None)


@pytest.mark.parametrize(
    "key", ["junk", "10.2.35.0-33", "10.2.35.1-24", "300.2.35.0-24", "10.2.35.0-24x", "é"]
)
def test_a_key_that_is_no_subnets_is_none(key: str) -> None:
    assert subnets_of_key(f"{FOLDER}/{key}") == (None, None)


@pytest.mark.parametrize("end", [Output(0, "", ""), Output(124, "", ""), Output(0, "mysql01\n", "")])
def test_a_client_that_prints_something_else_has_not_logged_in(end: Output) -> None:
    assert parse_login("a", "b", "mysql", end).error != ""


def test_links_are_read_from_ip() -> None:
    first, second = (
        link("flannel0", "10.2.35.0/16", queue=500),
        replace(link("docker0", "10.2.35.1/24"), up=False),
    )
    assert parse_links(ip_json(first, second)) == {"flannel0": first, "docker0": second}
    assert parse_links('[{},{"ifname":"x","flags":[],"mtu":1}]')["x"].addresses == ()


def test_a_bridge_without_a_port_is_still_the_same_route() -> None:
    text = "10.2.35.0/24 dev docker0 proto kernel scope link src 10.2.35.1 linkdown \n\n"
    assert parse_routes(text) == ("10.2.35.0/24 dev docker0 proto kernel scope link src 10.2.35.1",)


def test_leases_are_read_from_etcdctl() -> None:
    leases = known(master().leases)
    assert parse_leases(etcd_answer(*leases)) == leases
    assert parse_leases('{"header": {}, "ttl": {}}') == ()
    key = base64.b64encode(f"{FOLDER}/junk".encode()).decode()
    assert parse_leases(json.dumps({"kvs": [{"key": key}], "ttl": {}})) == (
        Lease(f"{FOLDER}/junk", None, "", -1),
    )


@pytest.mark.parametrize("parse", [parse_links, parse_leases])
@pytest.mark.parametrize("text", ["", "no JSON", "[3]", '{"kvs": [{}]}'])
def test_what_is_not_the_programs_answer_is_reported(parse: Any, text: str) -> None:
    with pytest.raises(LabError, match="reading the"):
        parse(text)
