import json
import math

import pytest

from flanneld_py.commands import leases
from flanneld_py.errors import Exit, Fatal
from flanneld_py.lease.model import LeaseAttrs
from flanneld_py.options import Options
from flanneld_py.registry import AccessRefused, Snapshot
from tests.flanneld_py.made import addresses, attrs, subnet
from tests.flanneld_py.memory_registry import MemoryEtcd, MemoryRegistry
from tests.schemas import problems


@pytest.fixture
def etcds(monkeypatch: pytest.MonkeyPatch) -> dict[str, MemoryEtcd]:
    """An etcd in memory for each network; the name of the only one is empty."""
    made = {name: MemoryEtcd(lambda: 0.0) for name in ("", "blue", "green")}
    monkeypatch.setattr(leases, "open_registry", lambda _options, network: MemoryRegistry(made[network]))
    return made


def test_leases_are_listed_by_subnet(etcds, capsys):
    etcds[""].put(subnet("10.2.52.0/24"), attrs("192.168.199.53"))
    mac = {"VNI": 1, "VtepMAC": "52:08:1a:2b:3c:4d"}
    etcds[""].put(subnet("10.2.35.0/24"), LeaseAttrs(addresses("192.168.199.52"), "vxlan", mac), ttl=math.inf)
    assert leases.run(Options()) == 0
    assert capsys.readouterr().out.splitlines() == [
        "SUBNET        PUBLIC IP       BACKEND",
        "10.2.35.0/24  192.168.199.52  vxlan (reservation)",
        "10.2.52.0/24  192.168.199.53  -",
    ]


def test_without_leases_only_the_heads_are_printed(etcds, capsys):
    assert leases.run(Options()) == 0
    assert capsys.readouterr().out.split() == ["SUBNET", "PUBLIC", "IP", "BACKEND", "NETWORK"]


def test_json_has_everything(etcds, capsys):
    both = LeaseAttrs(addresses("192.168.199.52", "fd00:50::11"), "host-gw")
    revision = etcds[""].put(subnet("10.5.4.0/24", "2001:cafe:42:16::/64"), both)
    assert leases.run(Options(json=True)) == 0
    found = json.loads(capsys.readouterr().out)
    assert problems("flanneld-leases", found) == []
    assert found == [
        {
            "network": "",
            "subnet": "10.5.4.0/24",
            "ipv6_subnet": "2001:cafe:42:16::/64",
            "public_ip": "192.168.199.52",
            "public_ipv6": "fd00:50::11",
            "backend_type": "host-gw",
            "backend_data": None,
            "backend_v6_data": None,
            "reservation": False,
            "revision": revision,
        }
    ]


def test_json_of_a_reservation_and_of_a_backend_with_data_follows_the_schema(etcds, capsys):
    mac = {"VNI": 1, "VtepMAC": "52:08:1a:2b:3c:4d"}
    etcds[""].put(subnet("10.2.35.0/24"), LeaseAttrs(addresses("192.168.199.52"), "vxlan", mac), ttl=math.inf)
    etcds[""].put(subnet("10.2.52.0/24"), attrs("192.168.199.53"))
    leases.run(Options(json=True))
    found = json.loads(capsys.readouterr().out)
    assert [(held["reservation"], held["backend_data"]) for held in found] == [(True, mac), (False, None)]
    assert problems("flanneld-leases", found) == []


def test_of_several_networks_each_lease_names_its_own(etcds, capsys):
    etcds["blue"].put(subnet("10.2.52.0/24"), attrs("192.168.199.53"))
    etcds["green"].put(subnet("10.3.52.0/24"), attrs("192.168.199.53"))
    assert leases.run(Options(networks=("blue", "green"))) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["NETWORK", "blue", "green"]


@pytest.mark.parametrize(
    ("options", "flag"), [(Options(), "-etcd-endpoints"), (Options(remote="lease-server:8888"), "-remote")]
)
def test_a_registry_that_is_away_is_a_clear_error(etcds, options, flag):
    etcds[""].reachable = False
    with pytest.raises(
        Fatal, match=rf"^Reading the leases: .*: start it, or name another with {flag}$"
    ) as told:
        leases.run(options)
    assert told.value.code == Exit.UNAVAILABLE


def test_a_registry_that_does_not_let_us_in_has_a_status_of_its_own(etcds, monkeypatch):
    class Guarded(MemoryRegistry):
        def snapshot(self) -> Snapshot:
            raise AccessRefused("http://192.0.2.1:2379: check -etcd-password")

    monkeypatch.setattr(leases, "open_registry", lambda *_: Guarded(etcds[""]))
    with pytest.raises(Fatal, match=r"check -etcd-password$") as told:
        leases.run(Options())
    assert told.value.code == Exit.REFUSED
