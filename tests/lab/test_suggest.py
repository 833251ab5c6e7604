"""A name that is not known is told with the one that may be meant."""

from collections.abc import Callable

import pytest

from lab import spec
from lab.checks import registry
from lab.cli import group
from lab.cluster import Lab, lifecycle
from lab.copying.control import copy
from lab.copying.paths import Place
from lab.errors import LabError
from lab.events import Reporter
from lab.suggest import nearest, similar, suggest
from tests.lab.pretended import PretendedEngine, pretended_world

NODES = ("centos-master", "centos-minion01", "centos-minion02")


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("centos-minion1", "centos-minion01"),
        ("centos-mastre", "centos-master"),
        ("minion01", "centos-minion01"),
        ("MASTER", "centos-master"),
        ("minion", ""),  # two are called so
        ("02", ""),  # too short to stand for a name
        ("elsewhere", ""),
        ("centos-master", ""),
    ],
)
def test_a_name_is_near_by_its_letters_or_as_the_only_one_with_this_part(word: str, near: str) -> None:
    assert nearest(word, NODES) == ((near,) if near else ())


def test_several_that_are_equally_near_are_all_named() -> None:
    assert similar("centos-minion09", NODES) == "; did you mean centos-minion01 or centos-minion02?"


def test_where_nothing_is_near_all_there_is_is_listed_each_once() -> None:
    assert similar("x", NODES) == ""
    assert suggest("x", ["a", "b", "a"], "it has") == "; it has: a, b"
    assert suggest("x", [], "it has") == "; it has: none"
    assert suggest("x", [f"n{n}" for n in range(100)], "it has").endswith(", n18, n19 and 80 more")
    assert suggest("centos-mastr", NODES, "it has") == "; did you mean centos-master?"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["stat"], "there is no verb stat; did you mean status?"),
        (["pod", "lst"], "there is no verb lst; did you mean ls?"),
        (["engine", "halt"], "there is no verb halt; there are: stop"),
        (["check", "--onyl", "x"], "'--only'"),
        (["images", "context", "nod", "x"], "expected one of node, mysql; got nod; did you mean node?"),
        (["bench", "--only", "genuin"], "got genuin; did you mean genuine?"),
    ],
)
def test_verbs_options_and_words_to_choose_from_are_suggested(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert group.run(argv) == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    engine: PretendedEngine = pretended_world(monkeypatch)
    lifecycle.up(engine.engine, spec.tutorial().with_name("demo"), Reporter())
    monkeypatch.setattr(Lab, "all_pods", Lab.pods)
    monkeypatch.setattr("lab.node.kubelet.list_pods", lambda _: ())
    return Lab.get(engine.engine, "demo")


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda lab: Lab.get(lab.engine, "dmo"), "there is no lab dmo; did you mean demo?"),
        (lambda lab: Lab.get(lab.engine, "other"), "there is no lab other; there is: demo"),
        (
            lambda lab: lab.node("minion02"),
            "has no node minion02; did you mean centos-minion02?",
        ),
        (lambda lab: lab.node("x"), f"the lab demo has no node x; it has: {', '.join(NODES)}"),
        (
            lambda lab: copy(lab, Place("minion02", "/x"), Place("", "/y")),
            "the lab demo has no node and no pod minion02; did you mean centos-minion02?",
        ),
        (
            lambda lab: copy(lab, Place("x", "/x"), Place("", "/y")),
            f"the lab demo has no node and no pod x; it has: {', '.join(NODES)}",
        ),
        (lambda lab: lab.pod("mysql01"), "the lab demo has no pod mysql01; it has: none"),
        (lambda _: registry.chosen(["lease.value"]), "no check lease.value; did you mean leases.value?"),
    ],
)
def test_labs_nodes_pods_and_checks_are_suggested(
    lab: Lab, look: Callable[[Lab], object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LabError) as told:
        look(lab)
    assert words in told.value.message
