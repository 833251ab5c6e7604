"""The network of a lab's machines is one that nobody else has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import cast

import pytest

from lab.cluster import underlay
from lab.cluster.underlay import Taken, of_routes
from lab.engine import Engine, Network, SubnetTaken
from lab.engine.endpoint import Endpoint
from lab.engine.selection import is_here
from lab.errors import LabError

CANDIDATES = tuple(IPv4Network(f"192.168.{third}.0/24") for third in (200, 201, 202))
TUTORIAL = IPv4Network("192.168.199.0/24")

# As the kernel of a machine with a second interface, a VPN and a blackhole prints it.
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
eth1\t00C8A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
tun0\t0000100A\t0100000A\t0003\t0\t0\t0\t0000F0FF\t0\t0\t0
*\t0000A8C0\t00000000\t0201\t0\t0\t1024\t0000FFFF\t0\t0\t0
"""


@dataclass
class FakeEngine:
    """An engine with these networks; `quicker` takes one that it has not got yet."""

    is_here: bool = True
    subnets: Mapping[str, str] = field(default_factory=dict)
    quicker: str = ""

    def networks(self) -> tuple[Network, ...]:
        return tuple(Network(name, name, {}, (subnet,)) for name, subnet in self.subnets.items())

    def create_network(self, name: str, subnet: str, labels: Mapping[str, str], **_: bool) -> Network:
        if subnet == self.quicker:
            raise SubnetTaken("overlaps")
        return Network(name, name, labels, (subnet,))


@pytest.fixture(autouse=True)
def _routes(monkeypatch, tmp_path):
    (tmp_path / "route").write_text(ROUTES)
    monkeypatch.setattr(underlay, "ROUTES", tmp_path / "route")


def made(engine: FakeEngine, *candidates: IPv4Network) -> IPv4Network:
    found = underlay.make(cast(Engine, engine), "demo", candidates, {}, internal=True)
    return found.underlay


def test_the_kernels_routes_are_read_without_those_that_lead_everywhere_or_nowhere():
    assert of_routes(ROUTES) == (
        Taken(IPv4Network("192.168.200.0/24"), "eth1, an interface of this machine"),
        Taken(IPv4Network("10.16.0.0/12"), "tun0, an interface of this machine"),
    )


def test_a_network_that_an_interface_of_this_machine_has_is_passed_over():
    assert made(FakeEngine(), *CANDIDATES) == IPv4Network("192.168.201.0/24")


def test_so_is_one_of_the_engine():
    engine = FakeEngine(subnets={"bridge": "172.17.0.0/16", "six": "fd00::/64", "x": "192.168.201.128/25"})
    assert made(engine, *CANDIDATES) == IPv4Network("192.168.202.0/24")


def test_so_is_one_that_another_lab_takes_at_the_same_moment():
    assert made(FakeEngine(quicker="192.168.201.0/24"), *CANDIDATES) == IPv4Network("192.168.202.0/24")


def test_what_this_machine_has_is_no_matter_to_an_engine_elsewhere():
    assert made(FakeEngine(is_here=False), *CANDIDATES) == IPv4Network("192.168.200.0/24")


def test_who_has_the_only_one_is_told_and_how_to_choose_another(monkeypatch, tmp_path):
    (tmp_path / "route").write_text(ROUTES.replace("00C8A8C0", "00C7A8C0"))
    with pytest.raises(LabError) as told:
        made(FakeEngine(), TUTORIAL)
    assert told.value.message == (
        "the lab's network 192.168.199.0/24 is taken: "
        "192.168.199.0/24 is on eth1, an interface of this machine"
    )
    assert "--underlay" in told.value.hint


def test_of_several_the_last_is_told():
    engine = FakeEngine(subnets={"wide": "192.168.0.0/16"})
    with pytest.raises(
        LabError, match=r"each network from 192\.168\.200\.0/24 to 192\.168\.202\.0/24 is taken"
    ):
        made(engine, *CANDIDATES)


@pytest.mark.parametrize(
    ("endpoint", "info", "here"),
    [
        (Endpoint("unix"), {"Name": "us"}, True),
        (Endpoint("unix"), {"Name": "docker-desktop"}, False),
        (Endpoint("unix"), {"Name": "us", "SecurityOptions": ["name=seccomp", "name=rootless"]}, False),
        (Endpoint("tcp", "us", 2375), {"Name": "us"}, False),
    ],
)
def test_an_engine_is_here_if_its_networks_are_this_machines(monkeypatch, endpoint, info, here):
    monkeypatch.setattr("socket.gethostname", lambda: "us")
    assert is_here(endpoint, info) is here
