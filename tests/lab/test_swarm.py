"""Whether engines are of one swarm, and which have to join where they are not."""

from typing import Any, cast

import docker
import pytest

from lab.engine import Network, SubnetTaken
from lab.engine.swarm import Member, member, problems, to_join
from lab.engine.swarm_calls import create

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


class Networks:
    """As much of the SDK's client as makes a network; `driver` is empty for one that overlaps another."""

    def __init__(self, driver: str) -> None:
        self.networks = self.api = self
        self.driver = driver
        self.there: dict[str, dict[str, Any]] = {}

    def create(self, name: str, **given: Any) -> "Networks":
        pools = given["ipam"]["Config"]
        self.there["n"] = {"Id": "n", "Name": name, "Driver": self.driver, "IPAM": {"Config": pools}}
        return self

    id = "n"

    def inspect_network(self, network: str) -> dict[str, Any]:
        return self.there[network]

    def remove_network(self, network: str) -> None:
        del self.there[network]


def made(networks: Networks) -> Network:
    client = cast(docker.DockerClient, networks)
    return create(client, "lab-demo", "192.168.200.0/24", {}, engines="192.168.200.240/28", mtu=None)


def test_a_network_of_the_swarm_has_its_engines_addresses_at_its_end():
    networks = Networks("overlay")
    assert made(networks).subnets == ("192.168.200.0/24",)
    (pool,) = networks.there["n"]["IPAM"]["Config"]
    assert pool["IPRange"] == "192.168.200.240/28"


def test_a_network_that_the_swarm_could_not_make_is_removed_and_its_subnet_taken():
    networks = Networks("")
    with pytest.raises(SubnetTaken, match=r"overlaps 192\.168\.200\.0/24"):
        made(networks)
    assert networks.there == {}
