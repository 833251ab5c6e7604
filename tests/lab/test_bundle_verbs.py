"""When a bundle is written, by which verb, and where to."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab import checks, host
from lab.bundle.destination import Destination, destination, stem
from lab.cli.group import run
from lab.cluster import Lab
from lab.engine import Engine, EngineUnavailable
from lab.engine.swarm import Member
from lab.errors import LabError
from lab.events import Reporter
from lab.soak import schedule
from lab.soak.evidence import Evidence
from lab.soak.schedule import Round
from tests.lab.bundles import failing
from tests.lab.pretended import PretendedEngine, pretended_world
from tests.schemas import problems
from tests.unpacked import unpacked


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PretendedEngine:
    """An engine that only remembers, and the lab demo on it; the current folder is a new one."""
    monkeypatch.delenv("LAB_BUNDLES", raising=False)
    monkeypatch.setenv("LAB_NAME", "demo")
    monkeypatch.chdir(tmp_path)
    engine = pretended_world(monkeypatch)
    monkeypatch.setattr(host, "ensure_engine", lambda _: engine.engine)
    monkeypatch.setattr(Engine, "connect", lambda: engine.engine)
    return engine


@pytest.fixture
def something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PATIENCE", "0.01")  # `lab up` waits for a while for what is wrong to become right
    monkeypatch.setattr(checks, "run_all", lambda *_, **__: list(failing()))


def test_lab_bundle_writes_a_file_and_says_what_is_in_it(
    world: PretendedEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["up"])
    capsys.readouterr()
    assert run(["bundle", "-o", str(tmp_path / "new" / "x.tar.gz"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert problems("bundle", document) == []
    assert document["file"] == str(tmp_path / "new" / "x.tar.gz")
    found = unpacked(tmp_path / "new" / "x.tar.gz")
    assert {item["path"] for item in document["files"]} == found.keys() - {"index.html", "contents.json"}
    assert json.loads(found["versions.json"])["engine"] == {"Version": "20.10.24"}
    assert found["nodes/centos-master/console.log"].startswith("Welcome to Debian")
    assert json.loads(found["faults.json"])["faults"] == []
    assert "running" in found["nodes/centos-minion01/container.json"]


def test_of_a_lab_on_several_engines_the_versions_of_each_are_told(
    world: PretendedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far, file = PretendedEngine(), tmp_path / "lab.yaml"
    world.others["ssh://far"] = far
    world.member = Member("n1", manages=True, nodes={"n1": "ready", "n2": "ready"})
    far.member = Member("n2")
    engines = "engines: [{name: home}, {name: far, host: 'ssh://far'}]"
    file.write_text(f"name: demo\n{engines}\npods: []\n")
    run(["up", "-f", str(file)])
    monkeypatch.setattr(far, "describe", lambda: {"Version": "26.1.5"})

    def versions(name: str) -> Any:
        assert run(["bundle", "-o", str(tmp_path / name)]) == 0
        return json.loads(unpacked(tmp_path / name)["versions.json"])["engines"]

    told = versions("a.tar.gz")
    assert {name: of["engine"]["Version"] for name, of in told.items()} == {
        "home": "20.10.24",
        "far": "26.1.5",
    }
    assert told["far"]["images"][0]["kind"] == "node"
    world.others["ssh://far"] = EngineUnavailable("no Docker engine answers at ssh://far")
    assert versions("b.tar.gz")["far"] == {"engine": "no Docker engine answers at ssh://far"}


@pytest.mark.usefixtures("world")
def test_without_a_place_it_goes_into_the_current_folder_under_a_name_that_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["up"])
    assert run(["bundle"]) == 0
    (file,) = tmp_path.glob("*")
    assert file.name.startswith("lab-demo-2")
    assert file.name.endswith("Z.tar.gz")
    assert capsys.readouterr().out.splitlines()[-1] == "centos-minion02 has told nothing: " + (
        "nobody answers here"
    )


@pytest.mark.usefixtures("world")
def test_a_bundle_about_a_lab_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert run(["bundle"]) == 1
    assert list(tmp_path.glob("*")) == []


def test_an_up_that_fails_leaves_a_bundle_if_it_was_asked_for_and_then_removes_all(
    world: PretendedEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def during(asked: str) -> None:
        if asked == "start lab-demo-centos-minion01":
            raise LabError("no space left on device")

    world.during = during
    assert run(["up"]) == 1
    assert list(tmp_path.glob("*")) == []
    assert run(["up", "--bundle", "bundles/"]) == 1
    assert world.left == []
    (file,) = tmp_path.glob("bundles/lab-demo-*.tar.gz")
    assert f"All that is known of it is in bundles/{file.name}" in capsys.readouterr().err
    found = unpacked(file)
    assert found["why.txt"] == "lab up has failed: no space left on device\n"
    plan = {line.split("   ")[0]: line for line in found["plan.txt"].splitlines()}
    assert "failed" in plan["node centos-minion01"]
    assert "no space left on device" in plan["node centos-minion01"]
    assert json.loads(found["contents.json"])["nodes"][1]["state"] == "created"


def test_a_lab_of_which_a_network_could_not_be_made_is_explained_without_its_checks(
    world: PretendedEngine, tmp_path: Path
) -> None:
    def during(asked: str) -> None:
        if asked.startswith("create network") and world.networks_:
            raise LabError("no network is free")

    world.during = during
    racks = Path(__file__).parents[2] / "examples" / "two-racks.yaml"
    assert run(["up", "-f", str(racks), "--name", "demo", "--bundle", "why.tar.gz"]) == 1
    document = json.loads(unpacked(tmp_path / "why.tar.gz")["contents.json"])
    assert problems("bundle", document) == []
    assert document["checks"] is None
    assert {node["state"] for node in document["nodes"]} == {"absent"}
    assert None in {node["address"] for node in document["nodes"]}


@pytest.mark.usefixtures("world", "something_is_wrong")
@pytest.mark.parametrize("verb", ["up", "check"])
def test_a_check_that_does_not_hold_leaves_a_bundle_with_what_it_has_found(verb: str, tmp_path: Path) -> None:
    run(["up"])
    assert list(tmp_path.glob("*")) == []
    if verb == "up":
        run(["down"])
    assert run([verb, "--bundle", "why.tar.gz"]) == 1
    found = unpacked(tmp_path / "why.tar.gz")
    wrong = [item for item in json.loads(found["checks.json"])["findings"] if item["kind"] == "fail"]
    assert [item["id"] for item in wrong] == ["routes.overlay"]
    assert "overlay routes" in found["index.html"]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("verb", ["up", "check"])
def test_where_all_is_right_no_bundle_is_left(verb: str, tmp_path: Path) -> None:
    if verb == "check":
        run(["up"])
    assert run([verb, "--bundle", "why.tar.gz"]) == 0
    assert list(tmp_path.glob("*")) == []


@pytest.mark.usefixtures("world", "something_is_wrong")
def test_a_folder_in_the_environment_is_where_every_bundle_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_BUNDLES", str(tmp_path / "all"))
    run(["up"])
    run(["check"])
    run(["bundle"])
    assert len(list(tmp_path.glob("all/lab-demo-*.tar.gz"))) == 3


@pytest.mark.usefixtures("world", "something_is_wrong")
def test_a_bundle_that_cannot_be_written_hides_nothing_of_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    run(["up"])
    assert run(["check", "--bundle", "file/x.tar.gz"]) == 1
    said = capsys.readouterr()
    assert "overlay routes" in said.out
    assert "there is no bundle: writing the bundle to file/x.tar.gz: " in said.err
    assert run(["bundle", "-o", "file/x.tar.gz"]) == 1


ROUND = "rounds:\n- faults:\n  - {at: 0, fault: etcd-compact}\n  - {at: 1, fault: etcd-compact}\n"


@pytest.mark.usefixtures("world")
def test_a_round_of_a_search_that_does_not_hold_leaves_one_bundle_about_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played: list[Round] = []

    def play(_lab: Lab, planned: Round, _progress: Reporter) -> Evidence:
        played.append(planned)
        return Evidence(applied=(), left=("the network of centos-minion01",))

    monkeypatch.setattr("lab.cli.soak.play", play)
    monkeypatch.setattr("lab.soak.search.restore", lambda *_, **__: None)
    (tmp_path / "schedule.yaml").write_text(ROUND)
    run(["up"])
    capsys.readouterr()
    assert run(["soak", "--replay", "schedule.yaml", "--bundle", "all/", "--no-packets"]) == 1
    assert len(played) > 1  # in parts, too
    (file,) = tmp_path.glob("all/lab-demo-*.tar.gz")
    assert f"all that is known of it is in all/{file.name}" in capsys.readouterr().err
    found = unpacked(file)
    assert found["why.txt"].startswith("lab soak: round 1 did not hold (left): ")
    assert "the network of centos-minion01" in found["soak/round.txt"]
    assert schedule.read(_written(tmp_path, found["soak/schedule.yaml"])).rounds == (played[0],)
    assert "soak/schedule.yaml" in found["index.html"]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("options", "kept"), [([], ["demo"]), (["--no-packets"], [])])
def test_machines_keep_their_packets_while_a_search_goes_on_unless_nobody_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], kept: list[str]
) -> None:
    keeping: list[str] = []

    @contextmanager
    def recording(lab: Lab, _progress: Reporter) -> Iterator[None]:
        keeping.append(lab.name)
        yield
        keeping.remove(lab.name)

    def play(*_: object) -> Evidence:
        assert keeping == kept
        return Evidence(applied=())

    monkeypatch.setattr("lab.cli.soak.recording", recording)
    monkeypatch.setattr("lab.cli.soak.play", play)
    monkeypatch.setattr("lab.soak.search.restore", lambda *_, **__: None)
    (tmp_path / "schedule.yaml").write_text(ROUND)
    run(["up"])
    assert run(["soak", "--replay", "schedule.yaml", *options]) == 0
    assert keeping == []


def _written(folder: Path, text: str) -> Path:
    path = folder / "again.yaml"
    path.write_text(text)
    return path


AT = datetime(2026, 11, 29, 9, 15, 7, tzinfo=UTC)


def test_a_folder_is_one_that_is_there_or_that_ends_like_one(tmp_path: Path) -> None:
    assert destination(str(tmp_path), {}) == Destination(tmp_path, folder=True)
    assert destination(f"{tmp_path}/new/", {}) == Destination(tmp_path / "new", folder=True)
    assert destination(f"{tmp_path}/new", {}) == Destination(tmp_path / "new", folder=False)
    assert destination(None, {"LAB_BUNDLES": "x"}) == Destination(Path("x"), folder=True)
    assert destination(f"{tmp_path}/y", {"LAB_BUNDLES": "x"}) == Destination(tmp_path / "y", folder=False)
    assert destination(None, {}) is None


def test_no_bundle_takes_anothers_place(tmp_path: Path) -> None:
    into = Destination(tmp_path / "all", folder=True)
    name = stem("lab-demo", AT)
    files = [into.write(name, data) for data in (b"one", b"two", b"three")]
    assert [file.name for file in files] == [
        "lab-demo-20261129T091507Z.tar.gz",
        "lab-demo-20261129T091507Z-2.tar.gz",
        "lab-demo-20261129T091507Z-3.tar.gz",
    ]
    assert [file.read_bytes() for file in files] == [b"one", b"two", b"three"]


def test_a_tests_name_is_one_that_a_file_can_have() -> None:
    assert stem("test_x[../a b]", AT) == "test_x_.._a_b_-20261129T091507Z"
