"""The wireguard backend, against a kernel that is only remembered: this project's test machines have none."""

import base64
import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pyroute2.netlink.generic.wireguard import AsyncWireGuard, wgmsg

from flanneld_py.backend.kind import NodeContext
from flanneld_py.backend.wireguard import backend as module
from flanneld_py.backend.wireguard.backend import WireguardBackend
from flanneld_py.backend.wireguard.config import Wireguard
from flanneld_py.backend.wireguard.peers import peers_of, plan_peers
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.wg_peer import WgPeer
from flanneld_py.kernel.wireguard import asked, listed
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, PeerRemoved
from flanneld_py.subnet import Subnet
from flanneld_py.underlay.interface import Interface
from tests.flanneld_py.fake_table import FakeTable
from tests.flanneld_py.made import addresses, pool4, pool6, subnet

POOL4 = pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24")
POOL6 = pool6("2001:cafe:42::/48", "2001:cafe:42:1::/64", "2001:cafe:42:ffff::/64")
KEY, OTHER = (base64.b64encode(bytes([fill]) * 32).decode() for fill in (7, 8))
ETH0 = Interface("eth0", 2, 1500, IPv4Address("192.168.50.11"))
OURS = addresses("192.168.50.11", "fd00:50::11")
OWN = subnet("10.2.35.0/24", "2001:cafe:42:35::/64")
SEPARATE, ONE = {4: "flannel-wg", 6: "flannel-wg-v6"}, {4: "flannel-wg", 6: "flannel-wg"}


def dual(key: object = KEY, *public: str, ports: tuple[object, object] = (None, None)) -> Lease:
    """A peer; `ports` are those beside IPv4 and IPv6, which flannel writes since 0.26.6."""
    data, data6 = (
        {"PublicKey": key, "Port": port} if port is not None else {"PublicKey": key} for port in ports
    )
    where = addresses(*(public or ("192.168.50.12", "fd00:50::12")))
    return Lease(subnet("10.2.52.0/24", "2001:cafe:42:52::/64"), LeaseAttrs(where, "wireguard", data, data6))


def test_each_family_has_a_device_and_a_port_of_its_own():
    found, remarks = peers_of(dual(), Wireguard(), SEPARATE, OWN, OURS, own_key="")
    assert remarks == ()
    assert {name: (str(peer.endpoint), peer.port, peer.allowed) for name, peer in found.items()} == {
        "flannel-wg": ("192.168.50.12", 51820, (IPv4Network("10.2.52.0/24"),)),
        "flannel-wg-v6": ("fd00:50::12", 51821, (IPv6Network("2001:cafe:42:52::/64"),)),
    }


@pytest.mark.parametrize(
    ("mode", "public", "endpoint"),
    [
        ("ipv4", (), "192.168.50.12"),
        ("ipv6", (), "fd00:50::12"),
        ("auto", (), "192.168.50.12"),  # neither is public
        ("auto", ("198.18.0.1", "fd00:50::12"), "198.18.0.1"),
        ("auto", ("8.8.4.4", "2600::1"), "8.8.4.4"),  # IPv4 gets through more often
        ("auto", ("192.168.50.12", "2600::1"), "192.168.50.12"),  # our own IPv6 address is private
    ],
)
def test_one_device_for_both_families_has_one_peer_at_the_likelier_address(mode, public, endpoint):
    found, _ = peers_of(dual(KEY, *public), Wireguard(mode=mode), ONE, OWN, OURS, own_key="")
    (peer,) = found.values()
    assert str(peer.endpoint) == endpoint
    assert peer.port == 51820
    assert peer.allowed == (IPv4Network("10.2.52.0/24"), IPv6Network("2001:cafe:42:52::/64"))


@pytest.mark.parametrize(
    ("mode", "ports", "expected"),
    [
        ("separate", (51900, 51901), [51900, 51901]),
        ("separate", (0, None), [51820, 51821]),  # flannel before 0.26.6 names none
        ("ipv4", (51900, 51821), [51900]),
        # Today's flannel writes ListenPortV6 beside IPv6, but its one device listens on ListenPort.
        ("ipv6", (51900, 51821), [51900]),
        ("ipv6", (None, 51821), [51820]),
        ("ipv6", (None, 51900), [51900]),
    ],
)
def test_a_peer_is_sent_to_at_the_port_that_its_lease_names(mode, ports, expected):
    devices = SEPARATE if mode == "separate" else ONE
    found, remarks = peers_of(dual(ports=ports), Wireguard(mode=mode), devices, OWN, OURS, own_key="")
    assert [peer.port for peer in found.values()] == expected
    assert remarks == ()


@pytest.mark.parametrize("port", [-1, 65536, "51820", 1.5, True, []])
def test_a_peer_with_a_port_that_is_none_is_ignored_and_told(port):
    found, remarks = peers_of(dual(ports=(port, port)), Wireguard(mode="ipv4"), ONE, OWN, OURS, own_key="")
    assert found == {}
    assert "the Port of its lease is no UDP port" in remarks[0].text


@pytest.mark.parametrize("key", ["", "short", None, 7, base64.b64encode(bytes(31)).decode(), "=" * 44])
def test_a_peer_without_a_key_is_ignored_and_told(key):
    found, remarks = peers_of(dual(key), Wireguard(mode="ipv4"), ONE, OWN, OURS, own_key="")
    assert found == {}
    assert "no public key of 32 bytes" in remarks[0].text


def test_peers_of_other_backends_and_in_our_own_subnet_are_ignored():
    foreign = Lease(subnet("10.2.52.0/24"), LeaseAttrs(addresses("192.168.50.12"), "vxlan"))
    inside = Lease(subnet("10.2.35.128/25"), dual().attrs)
    for lease in (foreign, inside):
        found, remarks = peers_of(lease, Wireguard(), SEPARATE, OWN, OURS, own_key="")
        assert found == {}
        assert len(remarks) == 1


def test_only_peers_that_differ_are_set_and_those_of_the_past_go_first():
    stays, moves = (
        WgPeer(key, IPv4Address("192.168.50.12"), 51820, (IPv4Network("10.2.52.0/24"),)) for key in "ab"
    )
    seen = {"a": stays, "b": replace(moves, allowed=(IPv4Network("10.2.99.0/24"),)), "c": WgPeer("c")}
    changes = plan_peers("flannel-wg", {"a": stays, "b": moves}, seen, places=False)
    assert [(change.peer.key, change.peer.remove) for change in changes] == [("c", True), ("b", False)]


WANTED = WgPeer(KEY, IPv4Address("192.168.50.12"), 51820, (IPv4Network("10.2.52.0/24"),), OTHER, 25)


@pytest.mark.parametrize("other", [{"psk": ""}, {"psk": KEY}, {"keepalive": 0}, {"allowed": ()}])
def test_a_peer_of_a_former_configuration_is_set_anew(other):
    (change,) = plan_peers("flannel-wg", {KEY: WANTED}, {KEY: replace(WANTED, **other)}, places=False)
    assert change.peer == WANTED


def test_where_a_peer_is_sent_to_counts_only_where_its_lease_may_have_changed_unseen():
    roamed = replace(WANTED, endpoint=IPv4Address("192.168.50.99"), port=40000)
    assert plan_peers("flannel-wg", {KEY: WANTED}, {KEY: roamed}, places=False) == ()
    (change,) = plan_peers("flannel-wg", {KEY: WANTED}, {KEY: roamed}, places=True)
    assert change.peer == WANTED


def test_a_key_whose_last_letter_has_bits_that_say_nothing_is_the_one_that_the_kernel_lists():
    # 32 bytes are 42 letters and two thirds of one: its lowest two bits are lost (RFC 4648, 3.5).
    sloppy = KEY[:-2] + chr(ord(KEY[-2]) + 1) + "="
    assert base64.b64decode(sloppy) == base64.b64decode(KEY)
    found, _ = peers_of(dual(sloppy), Wireguard(mode="ipv4", psk=sloppy), ONE, OWN, OURS, own_key="")
    (peer,) = found.values()
    assert (peer.key, peer.psk) == (KEY, KEY)


class Kernel:
    """wireguard devices that are only remembered."""

    def __init__(self) -> None:
        self.devices: dict[str, tuple[int, str, int]] = {}
        self.set: dict[str, dict[str, WgPeer]] = {}

    def ensure(self, name: str, mtu: int, private_key: str, port: int) -> int:
        self.devices[name] = (mtu, private_key, port)
        self.set.setdefault(name, {})
        return 10 + list(self.devices).index(name)

    def set_peers(self, name: str, changes: Sequence[WgPeer]) -> list[tuple[WgPeer, OSError]]:
        for change in changes:
            if change.remove:
                self.set[name].pop(change.key, None)
            else:
                self.set[name][change.key] = change
        return []

    def peers(self, name: str) -> dict[str, WgPeer]:
        return dict(self.set[name])


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(module, "kernel_wireguard", made)
    monkeypatch.setenv("WIREGUARD_KEY_FILE", str(tmp_path / "flannel" / "wgkey"))
    return made


def backend(table: FakeTable, config: Wireguard | None = None) -> WireguardBackend:
    config = config or Wireguard()
    return WireguardBackend(NetworkConfig(POOL4, None, config), config, NodeContext(ETH0, OURS), table=table)


def test_the_key_is_made_once_and_only_its_owner_reads_it(kernel, tmp_path):
    first, second = backend(FakeTable()).attrs(), backend(FakeTable()).attrs()
    assert first == second
    path = tmp_path / "flannel" / "wgkey"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    private = X25519PrivateKey.from_private_bytes(base64.b64decode(path.read_text()))
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    assert first == LeaseAttrs(addresses("192.168.50.11"), "wireguard", {"PublicKey": public, "Port": 51820})


def test_our_own_lease_names_the_port_of_each_device(kernel):
    config = Wireguard(listen_port=51900, listen_port_v6=51901)
    eth0 = replace(ETH0, ipv6=IPv6Address("fd00:50::11"))

    def ports(config: Wireguard) -> list[object]:
        attrs = WireguardBackend(
            NetworkConfig(POOL4, POOL6, config), config, NodeContext(eth0, OURS), table=FakeTable()
        ).attrs()
        return [
            data["Port"] for data in (attrs.backend_data, attrs.backend_v6_data) if isinstance(data, dict)
        ]

    assert ports(config) == [51900, 51901]
    assert ports(replace(config, mode="auto")) == [51900, 51900]


def test_the_mtu_is_that_of_the_outer_packets_as_in_flannel(kernel):
    assert backend(FakeTable(), Wireguard(mtu=1400)).mtu == 1320
    assert kernel.devices["flannel-wg"][0] == 1320
    with pytest.raises(Fatal, match=r"Backend\.MTU is 100, and wireguard needs at least 148: raise it"):
        backend(FakeTable(), Wireguard(mtu=100))


def test_a_key_that_is_none_is_named_and_not_replaced(kernel, tmp_path):
    path = tmp_path / "flannel" / "wgkey"
    path.parent.mkdir()
    path.write_text("junk")
    with pytest.raises(Fatal, match="not 32 bytes in base64") as refused:
        backend(FakeTable())
    assert refused.value.code == Exit.FILE
    assert path.read_text() == "junk"


def test_peers_are_set_with_their_routes_repaired_and_withdrawn(kernel):
    table = FakeTable()
    made = backend(table, Wireguard(psk=OTHER, persistent_keepalive_interval=25))
    assert (made.mtu, kernel.devices["flannel-wg"][2]) == (1420, 51820)
    theirs = Subnet(IPv4Network("10.2.52.0/24"))
    peer = Lease(theirs, LeaseAttrs(addresses("192.168.50.12"), "wireguard", {"PublicKey": KEY}))
    made.carry({theirs: peer}, until=100.0)
    wanted = WgPeer(KEY, IPv4Address("192.168.50.12"), 51820, (IPv4Network("10.2.52.0/24"),), OTHER, 25)
    assert kernel.set["flannel-wg"] == {KEY: wanted}
    assert [item.entry for item in table.entries.values()] == [Route(IPv4Network("10.2.52.0/24"), 10)]

    kernel.set["flannel-wg"].clear()
    assert made.repair() == 1
    assert kernel.set["flannel-wg"] == {KEY: wanted}
    assert made.repair() == 0

    renewed = Lease(theirs, LeaseAttrs(addresses("192.168.50.12"), "wireguard", {"PublicKey": OTHER}))
    made.change([PeerAdded(renewed)])
    assert set(kernel.set["flannel-wg"]) == {OTHER}
    made.change([PeerRemoved(renewed)])
    assert kernel.set["flannel-wg"] == {}
    assert not table.entries

    made.carry({theirs: peer}, until=100.0)
    made.release()
    assert kernel.set["flannel-wg"] == {}
    assert not table.entries


def lease(network: str, address: str, key: str = KEY) -> Lease:
    return Lease(subnet(network), LeaseAttrs(addresses(address), "wireguard", {"PublicKey": key}))


def test_a_machine_with_a_new_subnet_and_its_old_key_is_reached_when_the_old_lease_goes(kernel):
    made = backend(FakeTable())
    old, new = lease("10.2.52.0/24", "192.168.50.12"), lease("10.2.53.0/24", "192.168.50.77")
    made.carry({old.subnet: old}, until=100.0)
    for events in ([PeerAdded(new)], [PeerRemoved(old)]):
        made.change(events)
        assert {str(peer.endpoint): peer.allowed for peer in kernel.set["flannel-wg"].values()} == {
            "192.168.50.77": (IPv4Network("10.2.53.0/24"),)
        }
    assert made.repair() == 0


def test_of_two_machines_with_one_key_the_other_is_reached_when_one_goes_and_the_log_names_both(
    kernel, caplog
):
    made = backend(FakeTable())
    one, other = lease("10.2.52.0/24", "192.168.50.12"), lease("10.2.53.0/24", "192.168.50.13")
    made.carry({one.subnet: one, other.subnet: other}, until=100.0)
    assert "The peers of 10.2.53.0/24 and 10.2.52.0/24 announce the same" in caplog.text
    made.change([PeerRemoved(other)])
    assert [peer.allowed for peer in kernel.set["flannel-wg"].values()] == [(IPv4Network("10.2.52.0/24"),)]


def test_a_machine_with_our_own_key_is_named_as_a_copy(kernel, caplog):
    made = backend(FakeTable())
    data = made.attrs().backend_data
    assert isinstance(data, dict)
    copy = lease("10.2.52.0/24", "192.168.50.12", data["PublicKey"])
    made.carry({copy.subnet: copy}, until=100.0)
    assert "Ignoring the subnet 10.2.52.0/24: its machine has our own key" in caplog.text
    assert kernel.set["flannel-wg"] == {}


def test_peers_that_the_kernel_keeps_are_not_released_and_their_routes_are(kernel, monkeypatch):
    table = FakeTable()
    made = backend(table)
    theirs = Subnet(IPv4Network("10.2.52.0/24"))
    peer = Lease(theirs, LeaseAttrs(addresses("192.168.50.12"), "wireguard", {"PublicKey": KEY}))
    made.carry({theirs: peer}, until=100.0)

    def keep(_: str, changes: Sequence[WgPeer]) -> list[tuple[WgPeer, OSError]]:
        return [(change, OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))) for change in changes]

    monkeypatch.setattr(kernel, "set_peers", keep)
    with pytest.raises(OSError, match="No buffer space available"):
        made.release()
    assert not table.entries
    assert set(kernel.set["flannel-wg"]) == {KEY}


def test_where_routes_cannot_be_released_the_peers_are_and_a_device_that_is_gone_has_none(
    kernel, monkeypatch
):
    table = FakeTable()
    made = backend(table)
    theirs = Subnet(IPv4Network("10.2.52.0/24"))
    peer = Lease(theirs, LeaseAttrs(addresses("192.168.50.12"), "wireguard", {"PublicKey": KEY}))
    made.carry({theirs: peer}, until=100.0)
    table.deaf = errno.EMFILE
    with pytest.raises(OSError, match="Too many open files"):
        made.release()
    assert kernel.set["flannel-wg"] == {}
    table.deaf = 0

    def gone(_: str) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(kernel, "peers", gone)
    made.release()
    assert not table.entries


def test_what_the_kernel_is_told_reads_back_from_its_own_form():
    # No kernel here: pyroute2 writes the message, and reads it as if the kernel had sent it.
    allowed = (IPv4Network("10.2.52.0/24"), IPv6Network("2001:cafe:42:52::/64"))
    peer = WgPeer(KEY, IPv4Address("192.168.50.12"), 51820, allowed, OTHER, 25)
    message = wgmsg()
    AsyncWireGuard._wg_set_peer(AsyncWireGuard.__new__(AsyncWireGuard), message, asked(peer))
    message.encode()
    read = wgmsg(message.data)
    read.decode()
    assert list(listed(read)) == [peer]
