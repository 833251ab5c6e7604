"""One minion runs a genuine flannel, the other one ours: nobody can tell which is which.

Which genuine ones there are, FLANNELD_REFERENCE says (tests/cluster/reference.py). Without it these tests are
skipped.
"""

import json
from collections.abc import Iterator

import pytest

from lab import spec
from lab.cluster import Lab
from lab.pytest_plugin.labs import temporary_lab
from tests.cluster.devices import needs
from tests.cluster.judging import subnets, wait_until_right, wrong
from tests.cluster.reference import WITHOUT, Reference, references

THEIRS, OURS = "centos-minion01", "centos-minion02"
# With -ip-masq, the checks want the server to see the client pod's own address.
BACKENDS = {
    "udp": ["-iface=eth0"],
    "vxlan": ["-iface=eth0", "-ip-masq"],
    "host-gw": ["-iface=eth0"],
    "wireguard": ["-iface=eth0"],
    "ipip": ["-iface=eth0"],
}
CLUSTERS = [
    pytest.param((reference, backend), id=f"{reference.version} {backend}")
    for reference in references()
    for backend in BACKENDS
    # wireguard came with 0.16, ipip with 0.10, etcd's v3 API with 0.18.
    if backend not in ("wireguard", "ipip") or reference.etcd_api == "v3"
] or [pytest.param(None, marks=pytest.mark.skip(reason=WITHOUT))]

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]


def lab_file(reference: Reference, backend: str) -> str:
    """JSON is YAML."""
    nodes = [
        {"name": "centos-master", "role": "master", "host": 51},
        {"name": THEIRS, "role": "minion", "host": 52, "flanneld": {"binary": str(reference.path)}},
        {"name": OURS, "role": "minion", "host": 53},
    ]
    config = {"Network": "10.2.0.0/16", "Backend": {"Type": backend}}
    flannel = {"config": config, "etcdApi": reference.etcd_api, "options": BACKENDS[backend]}
    return json.dumps({"nodes": nodes, "flannel": flannel})


@pytest.fixture(scope="module", params=CLUSTERS)
def mixed(request, engine) -> Iterator[Lab]:
    reference, backend = request.param
    needs(engine, backend)
    with temporary_lab(engine, spec.load(lab_file(reference, backend), "mixed.yaml")) as outcome:
        yield outcome.lab


def test_leases_devices_routes_and_logins_are_as_among_genuine_ones(mixed):
    assert wrong(mixed) == []


@pytest.mark.parametrize("node", [THEIRS, OURS])
def test_either_one_is_found_again_after_a_restart_with_the_subnet_it_had(mixed, node):
    before = subnets(mixed)
    mixed.node(node).run(["systemctl", "restart", "flanneld"])
    wait_until_right(mixed)
    assert subnets(mixed) == before


@pytest.mark.parametrize("node", [THEIRS, OURS])
def test_either_one_is_found_again_after_a_reboot_of_its_machine(mixed, node):
    mixed.engine.restart(mixed.node(node).container.id)
    wait_until_right(mixed)
