"""Which lab is meant, whose it is, and that nobody removes another's by mistake."""

import secrets
import socket
from dataclasses import dataclass, field
from typing import Any

import pytest

from lab import labels, naming, spec, status
from lab.cluster import Lab, lifecycle
from lab.engine import Container, Engine, ExecResult, Network, Volume
from lab.errors import LabError, Unfit
from lab.events import Reporter
from lab.naming import Maker
from lab.node.files import SPEC_FILE
from lab.spec.segment import ONLY
from tests.lab.one_by_one import OneByOne

SHARED = spec.tutorial().with_name("shared")


@dataclass
class FakeEngine(OneByOne):
    """An engine with what one lab is made of."""

    labels: dict[str, str]
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    removed: list[str] = field(default_factory=list)

    def networks(self, _labels):
        network = Network("n", "lab-shared", self.labels, ("192.168.200.0/24",))
        return (network,) if "n" not in self.removed else ()

    def containers(self, _labels):
        return (Container("c", "lab-shared-m", self.labels, "running", "Up"),)

    def volumes(self, _labels):
        return ()

    def volume(self, _name):
        return None

    def exec(self, _container, argv, **_):
        assert argv[-2:] == ["cat", SPEC_FILE]
        return ExecResult(0, SHARED.to_json().encode(), b"")

    def remove(self, name):
        self.removed.append(name)

    remove_network = remove


def engine(maker: Maker) -> Any:
    of_network = labels.of_lab(
        "shared",
        SHARED.public().to_json(),
        ONLY,
        user=maker.user,
        host=maker.host,
        version=naming.our_version(),
    )
    return FakeEngine({**of_network, **labels.of_machine("shared", "centos-master", ["etcd"])})


OURS = naming.ourselves()
OTHERS = [Maker(f"not-{OURS.user}", OURS.host), Maker(OURS.user, f"not-{OURS.host}"), Maker("", OURS.host)]


def test_a_lab_of_ones_own_is_removed_without_more_ado():
    ours = engine(OURS)
    assert lifecycle.another_maker(ours, "shared") is None
    assert lifecycle.down(ours, "shared") == ["container lab-shared-m", "network lab-shared"]


@pytest.mark.parametrize("maker", OTHERS, ids=str)
def test_anothers_lab_is_removed_only_by_force(maker):
    theirs = engine(maker)
    assert lifecycle.another_maker(theirs, "shared") == maker
    with pytest.raises(Unfit) as refusal:
        lifecycle.down(theirs, "shared")
    assert refusal.value.message == f"the lab shared is not ours: {maker} made it, and this is {OURS}"
    assert "lab down --name shared --force" in refusal.value.hint
    assert theirs.removed == []
    lifecycle.down(theirs, "shared", force=True)
    assert theirs.removed == ["c", "n"]


@pytest.mark.parametrize("maker", OTHERS, ids=str)
def test_up_does_not_clear_away_what_another_is_making(maker):
    # Its lock, if it is on another machine, is not to be seen from here.
    theirs = engine(maker)
    with pytest.raises(Unfit, match="the lab shared is not ours"):
        lifecycle.up(theirs, SHARED, Reporter())
    assert theirs.removed == []


def test_up_tells_who_has_made_a_lab_that_is_in_its_way(monkeypatch):
    theirs = engine(OTHERS[0])
    monkeypatch.setattr(theirs, "volume", lambda name: Volume(name, {}))
    with pytest.raises(LabError, match="is up, but not whole") as refusal:
        lifecycle.up(theirs, SHARED, Reporter())
    assert str(OTHERS[0]) in refusal.value.hint
    assert "lab down" not in refusal.value.hint


@pytest.fixture(params=["9.8.7", ""], ids=["another", "one that did not say"])
def of_another_version(request):
    """A lab that is up, made by us with another overlay-lab."""
    there = engine(OURS)
    there.labels[labels.VERSION] = request.param
    there.labels[labels.SPEC] = '{"of": "another kind"}'
    if not request.param:
        del there.labels[labels.VERSION]
    return there


def test_a_lab_of_another_version_is_told_with_what_to_do(of_another_version):
    made_by = of_another_version.labels.get(labels.VERSION, "an overlay-lab that did not say its version")
    for look in (Lab.get, lambda found, _name: lifecycle.up(found, SHARED, Reporter())):
        with pytest.raises(LabError) as refusal:
            look(of_another_version, "shared")
        assert made_by in refusal.value.message
        assert f"and this is {naming.our_version()}" in refusal.value.message
        assert "lab down --name shared; then lab up --name shared" in refusal.value.hint


def test_a_lab_of_this_version_that_cannot_be_read_hides_no_other_and_is_removed():
    there = engine(OURS)
    there.labels[labels.SPEC] = '{"of": "another commit"}'
    with pytest.raises(LabError, match=r"its label lab\.spec cannot be read") as refusal:
        Lab.get(there, "shared")
    assert "lab down --name shared; then lab up --name shared" in refusal.value.hint
    assert [listed.name for listed in status.labs(there)] == ["shared"]
    assert lifecycle.down(there, "shared") == ["container lab-shared-m", "network lab-shared"]


def test_a_lab_of_another_version_is_listed_and_removed(of_another_version):
    (listed,) = status.labs(of_another_version)
    assert (listed.name, listed.made_by) == ("shared", str(OURS))
    assert listed.state.startswith("made by ")
    assert lifecycle.down(of_another_version, "shared") == ["container lab-shared-m", "network lab-shared"]


@pytest.fixture
def foreseen(monkeypatch):
    """What `lab up --dry-run` says of the tutorial's cluster under the name `shared`, with this engine."""

    def foresee(engine, **changes):
        monkeypatch.setattr(Engine, "connect", lambda: engine)
        wanted = SHARED.model_copy(update=changes)
        steps, words = lifecycle.foresee(wanted)
        return [step.name for step in steps], words

    return foresee


def test_a_dry_run_on_a_lab_that_is_up_plans_no_more_than_to_look(foreseen, monkeypatch):
    there = engine(OURS)
    monkeypatch.setattr(there, "volume", lambda name: Volume(name, {}))
    monkeypatch.setattr(Lab, "missing", ())
    assert foreseen(there) == (["checks"], "The lab shared is up already.")
    with pytest.raises(LabError, match="was made from another lab file"):
        foreseen(there, privileged=True)


def test_a_dry_run_says_what_is_in_the_way(foreseen):
    steps, words = foreseen(engine(OURS))
    assert (steps[0], steps[-1]) == ("images", "checks")
    assert words == "What an unfinished run left of the lab shared would be removed first."
    with pytest.raises(Unfit, match="is not ours"):
        foreseen(engine(OTHERS[0]))


def test_behind_sudo_the_maker_is_the_one_who_asked(monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert naming.ourselves({"SUDO_UID": "1"}) == Maker("daemon", socket.gethostname())
    assert naming.ourselves({"SUDO_UID": "4000000001"}).user == "4000000001"
    assert naming.ourselves({}).user == "root"
    monkeypatch.setattr("os.getuid", lambda: 1)
    assert naming.ourselves({"SUDO_UID": "0"}).user == "daemon"


def test_a_hint_names_the_lab_unless_the_command_means_it_anyway(monkeypatch):
    monkeypatch.delenv("LAB_NAME", raising=False)
    assert (naming.name_option("tutorial"), naming.name_option("demo")) == ("", " --name demo")
    monkeypatch.setenv("LAB_NAME", "demo")
    assert (naming.name_option("tutorial"), naming.name_option("demo")) == (" --name tutorial", "")
