"""A minion behind a NAT, by each of the tunnels that pass one."""

import pytest

from lab import checks, spec
from lab.cluster import Lab
from lab.pytest_plugin.labs import temporary_lab
from tests.cluster.examples import FOLDER, example
from tests.cluster.judging import wait_until_right, wrong

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]


@pytest.fixture(scope="module")
def behind_nat(engine):
    yield from example(engine, "behind-nat.yaml")


@pytest.fixture(scope="module")
def by_udp(engine):
    text = (FOLDER / "behind-nat.yaml").read_text()
    changed = text.replace("{Type: vxlan}", "{Type: udp}").replace("port: 8472", "port: 8285")
    with temporary_lab(engine, spec.load(changed, "behind-nat.yaml")) as outcome:
        yield outcome.lab


def outside(lab: Lab) -> str:
    """The NAT's address where everybody else is."""
    return str(lab.node("nat").address)


@pytest.mark.parametrize("lab", ["behind_nat", "by_udp"])
def test_pods_on_both_sides_of_the_nat_reach_each_other(lab, request):
    found = request.getfixturevalue(lab)
    assert wrong(found) == []
    pairs = {item.subject.names for item in checks.run_all(found, ["ping.nodes"]) if item.id == "ping.nodes"}
    assert pairs == {("minion1", "minion2"), ("minion2", "minion1")}


def test_the_lease_of_the_minion_behind_it_names_the_nats_address(behind_nat):
    values = {item.subject.names[0]: item.seen.text for item in checks.run_all(behind_nat, ["leases.value"])}
    assert f'"PublicIP":"{outside(behind_nat)}"' in values["minion2"]
    own = behind_nat.node("minion2").run(["ip", "-4", "-o", "address", "show", "dev", "eth0"]).text
    assert outside(behind_nat) not in own


def test_etcd_sees_the_nat_and_nobody_behind_it(behind_nat):
    said = behind_nat.node("master").run(["ss", "-Htn", "state", "established", "sport", "=", ":2379"]).text
    peers = {
        line.split()[-1].rpartition(":")[0].removeprefix("[::ffff:").rstrip("]") for line in said.splitlines()
    }
    assert outside(behind_nat) in peers
    assert str(behind_nat.node("minion2").address) not in peers


def test_from_outside_no_packet_gets_to_an_address_behind_the_nat(behind_nat):
    inside = str(behind_nat.node("minion2").address)
    ended = behind_nat.node("minion1").run(["ping", "-n", "-c", "1", "-W", "2", inside], check=False)
    assert ended.exit_code != 0
    assert "Network is unreachable" in ended.output


def test_a_nat_that_reboots_hides_its_network_again(behind_nat):
    router = behind_nat.node("nat")
    behind_nat.engine.restart(router.container.id)
    wait_until_right(behind_nat)
    assert "masquerade" in router.run(["nft", "list", "table", "ip", "lab-nat"]).text


def test_a_flanneld_that_is_started_again_announces_the_nats_address_still(behind_nat):
    behind_nat.node("minion2").run(["systemctl", "restart", "flanneld"])
    wait_until_right(behind_nat)


def test_minions_are_parted_by_the_address_that_one_has_outside(behind_nat):
    with behind_nat.fault("partition", "minion1", "minion2"):
        failing = {item.id for item in checks.failed(checks.run_all(behind_nat, ["ping.nodes", "leases.*"]))}
    wait_until_right(behind_nat)
    assert failing == {"ping.nodes"}
