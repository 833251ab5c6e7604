"""Which interface a flanneld takes by its options, as flannel's own LookupExtIface and main.go have it."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from lab import spec
from lab.spec.interface import announced
from lab.spec.segment import Subnets

NETWORKS = {
    "front": Subnets(IPv4Network("192.168.201.0/24")),
    "back": Subnets(IPv4Network("192.168.202.0/24")),
    "far": Subnets(IPv4Network("192.168.203.0/24")),
}

FILE = """
name: demo
segments: {front: {}, back: {}, far: {}}
nodes:
- {name: router, services: [], host: 254, segment: back, router: true, alsoOn: [{segment: far, host: 254}]}
- {name: m, services: [etcd], host: 10, alsoOn: [{segment: back, host: 10}]}
- {name: here, role: minion, host: 11, alsoOn: [{segment: back, host: 12}]}
pods: []
"""


def taken(*options: str, node: str = "here") -> tuple[str, str]:
    lab = spec.load(FILE, "lab.yaml").model_copy(update={"flanneld_options": options})
    (own,) = [each for each in lab.nodes if each.name == node]
    found = announced(lab, own, NETWORKS)
    return found.device, str(found.addresses[4])


@pytest.mark.parametrize(
    ("options", "device", "address"),
    [
        (("-iface=eth0",), "eth0", "192.168.201.11"),
        (("-iface=eth1",), "eth1", "192.168.202.12"),
        (("--iface", "eth1", "-v=4"), "eth1", "192.168.202.12"),
        (("-iface=192.168.202.12",), "eth1", "192.168.202.12"),
        (("-iface=eth7", "-iface=eth1", "-iface=eth0"), "eth1", "192.168.202.12"),
        (("-iface-regex=eth[1-9]",), "eth1", "192.168.202.12"),
        ((r"-iface-regex=^192\.168\.202\.",), "eth1", "192.168.202.12"),
        (("-iface-regex=eth0|202",), "eth1", "192.168.202.12"),  # addresses come before names
        (("-iface-regex=eth1", "-iface=eth0"), "eth0", "192.168.201.11"),  # names come before patterns
        (("-iface-can-reach=192.168.202.77",), "eth1", "192.168.202.12"),
        (("-iface-can-reach=192.168.203.77",), "eth1", "192.168.202.12"),  # by way of the router
        (("-iface=eth1", "-public-ip=203.0.113.7"), "eth1", "203.0.113.7"),
        (("-ip-masq",), "eth0", "192.168.201.11"),
        (("-iface-regex=(?z)",), "eth0", "192.168.201.11"),  # it is the daemon that says what is wrong
    ],
)
def test_the_interface_and_the_announced_address(options: tuple[str, ...], device: str, address: str) -> None:
    assert taken(*options) == (device, address)


def test_a_node_without_a_flanneld_is_known_by_its_first_address() -> None:
    assert taken("-iface=eth1", node="m") == ("eth0", str(IPv4Address("192.168.201.10")))
