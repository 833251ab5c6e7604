"""The registry of checks: identifiers that stay, and how checks are chosen."""

import pytest

from lab import checks
from lab.checks.registry import IDENTIFIER, Layer, check
from lab.errors import Unfit
from tests.lab.examples import observation

# Programs and people select findings by these: one that is renamed is a change that CHANGELOG.md tells of.
IDENTIFIERS = {
    *("node.answers", "service.active", "config.value"),
    *("leases.key", "leases.value", "leases.ttl", "leases.owner", "leases.subnets"),
    *("underlay.address", "overlay.address", "overlay.mtu", "overlay.queue", "overlay.state"),
    *("docker0.address", "docker0.mtu", "subnet-env.text"),
    *("routes.overlay", "overlay.neighbours", "overlay.fdb", "routes.default"),
    *("pod.running", "pod.address", "pod.mtu", "ping.nodes", "ping.pods"),
    *("login.mysql", "login.pymysql", "source.mysql", "source.pymysql"),
}


def test_the_identifiers_that_others_rely_on_are_all_there() -> None:
    assert {known.id for known in checks.every_check()} >= IDENTIFIERS


def test_every_check_says_what_it_expects_and_of_what_it_is_made() -> None:
    for known in checks.every_check():
        assert IDENTIFIER.fullmatch(known.id)
        assert known.on, known.id
        assert known.expects, known.id
        assert ("{part}" in known.title) == bool(known.part), known.id


def test_checks_are_made_from_the_ground_up() -> None:
    layers = [known.layer for known in checks.every_check()]
    assert layers == sorted(layers)
    assert checks.every_check()[0].id == "node.answers"


def test_two_checks_cannot_have_one_identifier() -> None:
    with pytest.raises(ValueError, match=r"there are two checks leases\.value"):
        check("leases.value", "another", layer=Layer.NODE, on="node", expects="nothing", needs=())


@pytest.mark.parametrize("identifier", ["lease value", "leases", "Leases.value", ".value"])
def test_an_identifier_is_two_words_that_need_no_quotes(identifier: str) -> None:
    with pytest.raises(ValueError, match="identifier is like"):
        check(identifier, "another", layer=Layer.NODE, on="node", expects="nothing", needs=())


def test_checks_are_chosen_by_identifier_and_whether_the_nodes_answer_always() -> None:
    assert [known.id for known in checks.chosen(["login.*"])] == [
        "node.answers",
        "login.mysql",
        "login.pymysql",
    ]
    assert checks.chosen([]) == checks.every_check()
    with pytest.raises(Unfit, match=r"there is no check leases\.valeu; did you mean leases\.value\?"):
        checks.chosen(["leases.valeu"])


def test_each_finding_carries_the_identifier_of_its_check_and_data_beside_its_words() -> None:
    for finding in checks.judge(observation()):
        assert finding.id in IDENTIFIERS
        assert finding.kind is checks.Kind.PASS
        assert finding.expected.text
        assert finding.seen.text
    (mtu,) = [
        item
        for item in checks.judge(observation())
        if item.id == "overlay.mtu" and item.subject.names == ("centos-minion01",)
    ]
    assert (mtu.expected.data, mtu.seen.data, mtu.subject.part) == (1472, 1472, "flannel0")
