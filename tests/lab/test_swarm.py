"""Whether engines are of one swarm, and which have to join where they are not."""

import pytest

from lab.engine.swarm import Member, member, problems, to_join

MANAGER = Member("n1", manages=True, address="192.0.2.1", nodes={"n1": "ready", "n2": "ready"})
WORKER = Member("n2", address="192.0.2.2")


def test_an_engines_own_words_are_read_as_its_place_in_the_swarm():
    told = {
        "NodeID": "n1",
        "NodeAddr": "192.0.2.1",
        "LocalNodeState": "active",
        "ControlAvailable": True,
        "RemoteManagers": [{"NodeID": "n1", "Addr": "192.0.2.1:2377"}],
    }
    nodes = [{"ID": "n1", "Status": {"State": "ready"}}, {"ID": "n2", "Status": {"State": "ready"}}]
    assert member(told, nodes) == MANAGER


@pytest.mark.parametrize("state", ["inactive", "pending", "locked", "error"])
def test_an_engine_that_is_not_active_in_a_swarm_is_in_none(state):
    assert member({"NodeID": "n1", "LocalNodeState": state, "ControlAvailable": False}) == Member()


def test_a_manager_and_its_workers_carry_a_network():
    assert list(problems("home", {"home": MANAGER, "far": WORKER})) == []


@pytest.mark.parametrize(
    ("home", "far", "told"),
    [
        (Member(), Member(), ["home is in no swarm", "far is in no swarm"]),
        (MANAGER, Member(), ["far is in no swarm"]),
        (WORKER, MANAGER, ["home is not a manager of its swarm, and only a manager makes networks"]),
        (MANAGER, Member("n9"), ["far is in another swarm than home"]),
        (
            Member("n1", manages=True, nodes={"n1": "ready", "n2": "down"}),
            WORKER,
            ["the swarm takes far for down"],
        ),
    ],
)
def test_what_keeps_them_from_it_is_told_of_each(home, far, told):
    assert list(problems("home", {"home": home, "far": far})) == told


@pytest.mark.parametrize(
    ("home", "far", "names"),
    [
        (Member(), Member(), ["home", "far"]),
        (MANAGER, Member(), ["far"]),
        (MANAGER, WORKER, []),
        (MANAGER, Member("n9"), []),  # it would have to leave its own
    ],
)
def test_who_has_to_join_is_in_no_swarm_and_the_home_begins_one(home, far, names):
    assert to_join("home", {"far": far, "home": home}) == names
