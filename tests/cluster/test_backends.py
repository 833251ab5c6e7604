"""Our flanneld alone, with each way that packets can travel, and with each of etcd's stores."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab import spec, tutorial
from lab.cluster import Lab
from lab.pytest_plugin.labs import temporary_lab
from lab.tutorial import Agreement
from tests.cluster.devices import needs
from tests.cluster.judging import subnets, wait_until_right, wrong

pytestmark = pytest.mark.cluster


def lab_file(backend: str, *options: str) -> str:
    """JSON is YAML."""
    config = {"Network": "10.2.0.0/16", "Backend": {"Type": backend}}
    return json.dumps({"flannel": {"config": config, "options": ["-iface=eth0", *options]}})


V2_STORE = "the tutorial's in the v2 store"


CLUSTERS = {
    "vxlan": lab_file("vxlan"),
    # The checks then want the server to see the client pod's own address.
    "host-gw with -ip-masq": lab_file("host-gw", "-ip-masq"),
    V2_STORE: "flannel: {etcdApi: v2}",
    "wireguard": lab_file("wireguard"),
    "ipip with -ip-masq": lab_file("ipip", "-ip-masq"),
}


def parameter(name: str) -> Any:
    """A cluster as a parameter; one of them is in the sample that `make lab-test` runs."""
    return pytest.param(CLUSTERS[name], id=name, marks=[] if name == "vxlan" else [pytest.mark.thorough])


@pytest.fixture(scope="module", params=[parameter(name) for name in CLUSTERS])
def cluster(request, engine) -> Iterator[Lab]:
    wanted = spec.load(request.param, "backend.yaml")
    needs(engine, wanted.backend.name)
    with temporary_lab(engine, wanted) as outcome:
        yield outcome.lab


def test_every_check_holds_logins_among_them(cluster):
    assert wrong(cluster) == []


@pytest.mark.thorough
def test_after_a_restart_of_flanneld_all_is_as_before(cluster):
    before = subnets(cluster)
    cluster.node("centos-minion01").run(["systemctl", "restart", "flanneld"])
    wait_until_right(cluster)
    assert subnets(cluster) == before


@pytest.mark.thorough
def test_after_a_reboot_of_a_machine_every_check_holds_again(cluster):
    before = subnets(cluster)
    cluster.engine.restart(cluster.node("centos-minion02").container.id)
    wait_until_right(cluster)
    assert subnets(cluster) == before


@pytest.mark.parametrize("cluster", [parameter(V2_STORE)], indirect=True)
def test_with_the_v2_store_the_tutorials_commands_show_what_the_document_shows(cluster):
    results = list(tutorial.replay(cluster))
    assert [result.document for result in results if not result.ok] == []
    commands = {it.document: it for it in results if it.document.startswith("etcdctl ")}
    told = {command: it.command_agreement for command, it in commands.items()}
    # Word for word; only leases have the addresses of this lab.
    assert [command for command, how in told.items() if how is Agreement.SAME] == [
        'etcdctl set /coreos.com/network/config \'{ "Network": "10.2.0.0/16" }\'',
        "etcdctl ls /coreos.com/network/subnets",
        *(command for command, it in commands.items() if " get " in command and it.command == command),
    ]
    assert set(told.values()) <= {Agreement.SAME, Agreement.NORMALISED}
    assert {it.agreement for it in commands.values()} <= {Agreement.SAME, Agreement.NORMALISED}
    assert wrong(cluster) == []
