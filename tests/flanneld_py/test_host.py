"""What the networks of one machine share: its interface, its devices and ports, and their end."""

import json
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from flanneld_py import kernel
from flanneld_py.backend import Backend
from flanneld_py.backend.catalog import parse_config
from flanneld_py.daemon import host, supervisor
from flanneld_py.daemon.host import Host
from flanneld_py.errors import Exit, Fatal
from flanneld_py.monitor.status import NetworkStatus
from flanneld_py.options import Options
from flanneld_py.runtime import clock
from flanneld_py.runtime.clock import Time
from flanneld_py.subnet import Address
from flanneld_py.underlay.interface import AssignedAddress, Candidate, NextHop, Routes
from lab import wait
from tests.flanneld_py.memory_registry import MemoryEtcd, MemoryRegistry

ETH0 = Candidate("eth0", 2, 1500, addresses=(AssignedAddress(IPv4Interface("192.168.50.11/24")),))
IPV6 = {"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "fd00:42::/48", "Backend": {"Type": "vxlan"}}


def look(_: Address | None) -> tuple[list[Candidate], Routes]:
    """A machine that has IPv4 only."""
    return [ETH0], Routes(default_ipv4=NextHop(2))


class Patient(MemoryRegistry):
    """Its configuration is there once a status says that we wait for an interface."""

    def __init__(self, etcd: MemoryEtcd, network_status: NetworkStatus) -> None:
        super().__init__(etcd)
        self._status = network_status

    def config(self) -> bytes | None:
        def waits() -> bool | wait.NotYet:
            return self._status.doing == "waiting for an interface that fits" or wait.NotYet(
                self._status.doing
            )

        wait.until(waits, what="the other network to wait for its interface", timeout=60)
        return super().config()


def etcd(config: object) -> MemoryEtcd:
    made = MemoryEtcd(clock.now)
    made.config = json.dumps(config).encode()
    return made


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Options:
    monkeypatch.setattr(kernel, "require_net_admin", lambda: None)
    monkeypatch.setattr(host, "look", look)
    return Options(networks=("blue", "green"), subnet_dir=str(tmp_path), iface_wait=3600)


def test_a_network_that_waits_for_its_interface_ends_with_one_that_cannot_go_on(options, monkeypatch):
    statuses, time = [NetworkStatus("blue"), NetworkStatus("green")], Time()
    registries = {
        "blue": Patient(etcd({"Network": "10.2.0.0/16"}), statuses[1]),
        "green": MemoryRegistry(etcd(IPV6)),
    }

    def open_backend(*_: object, **__: object) -> Backend:
        raise Fatal("There is no /dev/net/tun", code=Exit.KERNEL)

    monkeypatch.setattr(host, "open_registry", lambda _, name: registries[name])
    monkeypatch.setattr(host, "open_backend", open_backend)
    made = Host(options, time, statuses)
    daemons = [made.daemon(network_status, lambda: None) for network_status in statuses]
    with pytest.raises(Fatal, match="Network blue: There is no /dev/net/tun") as ended:
        supervisor.run(daemons, ["blue", "green"])
    assert ended.value.code == Exit.KERNEL
    assert time.stopping.is_set()


@pytest.mark.parametrize("kind", ["udp", "ipip"])
def test_a_network_that_its_backend_cannot_carry_waits_for_no_interface_of_that_family(options, kind):
    made = Host(options, Time(), [NetworkStatus("blue"), NetworkStatus("green")])
    daemon = made.daemon(NetworkStatus("blue"), lambda: None)
    network = parse_config(json.dumps(IPV6 | {"Backend": {"Type": kind}}))
    with pytest.raises(Fatal, match="carries IPv4 only, and EnableIPv6 is true") as refused:
        daemon._open_backend(network)
    assert refused.value.code == Exit.CONFIG


def test_all_networks_say_that_the_first_interface_is_waited_for(options, monkeypatch):
    statuses, seen = [NetworkStatus("blue"), NetworkStatus("green")], []

    def later(_: Address | None) -> tuple[list[Candidate], Routes]:
        seen.append({network_status.doing for network_status in statuses})
        return look(None) if len(seen) > 1 else ([], Routes())

    monkeypatch.setattr(host, "look", later)
    Host(options, Time(), statuses)
    assert seen == [{"starting"}, {"waiting for an interface that fits"}]
    assert {network_status.doing for network_status in statuses} == {"starting"}


def test_what_is_missing_is_the_privilege_for_whatever_backend(monkeypatch, tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tflanneld\nCapEff:\t0000000000000000\n")
    monkeypatch.setattr("flanneld_py.kernel.privileges.Path", lambda _: status)
    with pytest.raises(
        Fatal, match=r"^Setting up devices, routes and packet filter rules needs CAP_NET_ADMIN"
    ):
        kernel.require_net_admin()
