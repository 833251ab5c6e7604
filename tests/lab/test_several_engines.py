"""A lab whose machines are spread over several engines."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lab import spec, status
from lab.cli.group import run
from lab.cluster import Lab, lifecycle
from lab.cluster.fleet import Fleet
from lab.engine import Engine, EngineUnavailable
from lab.engine.swarm import Member
from lab.errors import LabError, Unfit
from lab.events import Reporter
from lab.labels import SPEC, VERSION
from lab.spec.engine import engines_in
from tests.lab.pretended import PretendedEngine, pretended_world

TEXT = """
name: demo
engines:
- {name: home}
- {name: far, host: 'tcp://192.0.2.2:2376'}
nodes:
- {name: m, role: master, host: 51}
- {name: a, role: minion, host: 52}
- {name: b, role: minion, host: 53, engine: far}
pods: []
"""
GONE = EngineUnavailable("no Docker engine answers at tcp://192.0.2.2:2376: No route to host")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> PretendedEngine:
    made, far = pretended_world(monkeypatch), PretendedEngine()
    made.member = Member("n1", manages=True, nodes={"n1": "ready", "n2": "ready"})
    far.member = Member("n2")
    made.others["tcp://192.0.2.2:2376"] = far
    return made


def far_of(home: PretendedEngine) -> PretendedEngine:
    (far,) = home.others.values()
    assert isinstance(far, PretendedEngine)
    return far


def load(text: str = TEXT) -> spec.LabSpec:
    return spec.load(text, "lab.yaml")


def up(home: PretendedEngine) -> Lab:
    return lifecycle.up(home.engine, load(), Reporter()).lab


def placed(text: str) -> dict[str, str]:
    return {node.name: node.engine for node in load(text).nodes}


def test_nodes_that_name_no_engine_are_on_each_in_turn():
    assert placed(TEXT) == {"m": "home", "a": "far", "b": "far"}
    assert placed(TEXT.replace(", engine: far", "")) == {"m": "home", "a": "far", "b": "home"}


LABELLED = """
name: demo
engines:
- {name: home}
- {name: far, host: 'tcp://192.0.2.2:2376', labels: {disk: ssd, room: 2}}
- {name: away, host: 'tcp://192.0.2.3:2376', labels: {disk: ssd}}
nodes:
- {name: m, role: master, host: 51, engine: home}
- {name: a, role: minion, host: 52, engine: {disk: ssd}}
- {name: b, role: minion, host: 53, engine: {disk: ssd}}
- {name: c, role: minion, host: 54, engine: {room: 2, disk: ssd}}
- {name: d, role: minion, host: 55, engine: {disk: ssd}}
- {name: e, role: minion, host: 56}
pods: []
"""


def test_nodes_that_want_labels_are_in_turn_on_each_engine_that_has_all_of_them():
    assert placed(LABELLED) == {"m": "home", "a": "far", "b": "away", "c": "far", "d": "far", "e": "home"}


def test_labels_that_no_engine_has_are_told_with_those_that_there_are():
    with pytest.raises(Unfit) as caught:
        load(LABELLED.replace("{room: 2, disk: ssd}", "{room: 3}"))
    assert caught.value.message == (
        "lab.yaml: nodes[3].engine: no engine has the labels room=3; "
        "home: none; far: disk=ssd, room=2; away: disk=ssd"
    )


def test_a_lab_without_engines_names_none():
    assert {node.engine for node in spec.tutorial().nodes} == {""}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("engine: far", "engine: fra", "nodes[2].engine: there is no engine fra"),
        ("- {name: home}\n", "", "engines: expected two or more"),
        ("{name: home}", "{name: far}", "engines: two are called far"),
        ("{name: home}", "{name: home, host: 'tcp://192.0.2.1:2375'}", "each has one"),
        (", host: 'tcp://192.0.2.2:2376'", "", "home, far have none"),
        ("host: 'tcp://192.0.2.2:2376'", "host: 'tcp://b', context: b", "expected one of host and context"),
        ("{name: home}", "{name: home, context: a}", "expected one without `host` or `context`"),
        (
            "- {name: home}",
            "- {name: home}\n- {name: b, context: a}\n- {name: c, context: a}",
            "two have the context a",
        ),
        ("host: 53", "host: 240", "b: expected a host below 240"),
        ("tcp://192.0.2.2:2376", "http//192.0.2.2", "expected unix:///PATH"),
    ],
)
def test_what_is_wrong_with_engines_is_told_before_anything_is_made(old, new, told):
    with pytest.raises(Unfit) as caught:
        load(TEXT.replace(old, new))
    assert told in caught.value.message


def test_each_engine_has_its_own_machines_and_the_home_has_the_network(home):
    lab = up(home)
    assert sorted(home.containers_) == ["lab-demo-m"]
    assert sorted(far_of(home).containers_) == ["lab-demo-a", "lab-demo-b"]
    assert next(call for call in home.calls if call.startswith("create ")) == (
        # Each engine takes an address from the end of the subnet, none of a machine's.
        "create overlay lab-demo [('engines', '192.168.200.240/28'), ('mtu', None)]"
    )
    assert not any(call.startswith("create network") for call in home.calls)
    assert {name: node.engine for name, node in lab.nodes.items()} == {
        "m": home.engine, "a": far_of(home).engine, "b": far_of(home).engine
    }  # fmt: skip
    assert lab.complete


def test_a_lab_is_found_again_with_all_its_engines_without_its_file(home):
    up(home)
    found = Lab.get(home.engine, "demo")
    assert sorted(found.nodes) == ["a", "b", "m"]
    assert lifecycle.down(home.engine, "demo")
    assert (home.left, far_of(home).containers_) == ([], {})


BY_CONTEXT = TEXT.replace("host: 'tcp://192.0.2.2:2376'", "context: there")


def test_an_engine_may_be_a_context_of_dockers_client_whose_address_the_lab_keeps(
    home, monkeypatch, tmp_path
):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(Unfit, match=r"the engine far: its context is there, but .* has no such context"):
        lifecycle.up(home.engine, load(BY_CONTEXT), Reporter())
    assert home.left == []
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"there").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    host = {"Host": "tcp://192.0.2.2:2376"}
    meta.write_text(json.dumps({"Name": "there", "Endpoints": {"docker": host}}))
    lifecycle.up(home.engine, load(BY_CONTEXT), Reporter())
    meta.unlink()  # as on another machine
    assert Lab.get(home.engine, "demo").missing == ()
    assert lifecycle.down(home.engine, "demo")
    assert (home.left, far_of(home).containers_) == ([], {})


def test_nothing_is_made_where_the_engines_are_not_of_one_swarm(home):
    far_of(home).member = Member()
    with pytest.raises(Unfit, match="far is in no swarm") as caught:
        up(home)
    assert "lab engines join" in caught.value.hint
    assert home.left == far_of(home).left == []


def test_nothing_is_made_where_an_engine_does_not_answer(home):
    home.others["tcp://192.0.2.2:2376"] = GONE
    with pytest.raises(EngineUnavailable, match=r"192\.0\.2\.2"):
        up(home)
    assert home.left == []


def test_while_an_engine_does_not_answer_the_rest_is_there_and_its_machines_are_named(home):
    up(home)
    home.others["tcp://192.0.2.2:2376"] = GONE
    lab = Lab.get(home.engine, "demo")
    assert [lab.state(name) for name in ("m", "a", "b")] == ["running", "unreached", "unreached"]
    assert lab.missing == ("a (unreached)", "b (unreached)")
    with pytest.raises(LabError, match="the engine far, which the node b is on, does not answer") as caught:
        lab.node("b")
    assert caught.value.hint == GONE.message
    (listed,) = status.labs(home.engine)
    assert listed.state == "not whole: a (unreached), b (unreached)"


def test_what_cannot_be_removed_is_told_and_a_later_gc_finishes(home):
    up(home)
    far = far_of(home)
    home.others["tcp://192.0.2.2:2376"] = GONE
    with pytest.raises(LabError, match="far: no Docker engine answers") as caught:
        lifecycle.down(home.engine, "demo")
    assert "lab gc" in caught.value.hint
    # The network says which engines the lab is on.
    assert (home.left, sorted(far.containers_)) == (["lab-demo"], ["lab-demo-a", "lab-demo-b"])
    home.others["tcp://192.0.2.2:2376"] = far
    removed = lifecycle.gc(home.engine)
    assert {"container lab-demo-a", "container lab-demo-b", "network lab-demo"} <= set(removed)
    assert (home.left, far.containers_) == ([], {})


def test_what_would_be_done_is_told_only_where_the_engines_are_of_one_swarm(home, monkeypatch):
    monkeypatch.setattr("lab.cluster.lifecycle.Engine.connect", lambda: home.engine)
    steps, told = lifecycle.foresee(load())
    assert "on the engine far" in next(step.action.describe() for step in steps if step.name == "node b")
    assert told == ""
    far_of(home).member = Member()
    with pytest.raises(Unfit, match="far is in no swarm"):
        lifecycle.foresee(load())


def test_what_another_version_has_made_is_removed_from_all_its_engines(home):
    up(home)
    (network,) = home.networks_.values()
    spec_of_another = {**json.loads(network.labels[SPEC]), "fromTheFuture": True}
    labels = {**network.labels, SPEC: json.dumps(spec_of_another), VERSION: "9.0"}
    home.networks_[network.name] = replace(network, labels=labels)
    assert {"container lab-demo-a", "container lab-demo-b"} <= set(lifecycle.down(home.engine, "demo"))
    assert (home.left, far_of(home).containers_) == ([], {})


@pytest.mark.parametrize("label", ["", "[]", "7", '{"engines": 7}', '{"engines": [{"nam": "a"}]}'])
def test_a_label_that_names_no_engines_has_none(label):
    assert engines_in(label) == ()


@pytest.fixture
def file(home, monkeypatch, tmp_path):
    monkeypatch.setattr(Engine, "connect", lambda: home.engine)
    made = tmp_path / "lab.yaml"
    made.write_text(TEXT)
    return str(made)


def test_images_of_all_engines_of_a_lab_file_are_listed_each_with_its_engine(home, file, capsys):
    assert run(["images", "ls", "-f", file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ENGINE", "NAME"], ["home", "lab-node:1"], ["far", "lab-node:1"]
    ]  # fmt: skip
    assert run(["images", "ls"]) == 0
    assert capsys.readouterr().out.split()[0] == "NAME"
    home.others["tcp://192.0.2.2:2376"] = GONE
    assert run(["images", "ls", "-f", file, "--json"]) == 2
    told = capsys.readouterr()
    assert [item["engine"] for item in json.loads(told.out)["images"]] == ["home"]
    assert GONE.message in told.err


def test_images_are_removed_from_all_engines_of_a_lab_file_unless_a_lab_stands_on_one(home, file, capsys):
    up(home)
    assert run(["images", "rm", "-f", file]) == 1
    assert "images are in use by the lab demo" in capsys.readouterr().err
    assert not any(call.startswith("remove image") for call in [*home.calls, *far_of(home).calls])
    lifecycle.down(home.engine, "demo")
    assert run(["images", "rm", "-f", file]) == 0
    assert capsys.readouterr().out.splitlines() == ["removed lab-node:1 on home", "removed lab-node:1 on far"]
    assert "remove image lab-node:1" in far_of(home).calls


def test_engines_are_listed_with_their_labels_and_the_swarm_that_each_is_in(home, file, capsys):
    Path(file).write_text(TEXT.replace("far, host", "far, labels: {disk: ssd}, host"))
    assert run(["engines", "ls", "-f", file]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0::2] == ["home", "-", "-"]
    assert "manager" in first
    assert "disk=ssd" in second
    assert "worker" in second


def test_two_names_of_one_engine_are_refused(home):
    far_of(home).id = home.id
    fleet = Fleet.of(home.engine, load().engines)
    with pytest.raises(Unfit, match="one and the same"):
        fleet.require_whole()
