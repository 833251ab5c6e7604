"""What a daemon survives: restarts, its own and etcd's, and others' mistakes and malice."""

import pytest

from tests.kernel.harness import PREFIX, Host, Sandbox

pytestmark = pytest.mark.kernel


def stranger(number: int) -> str:
    """The lease value of a machine that is not there."""
    return f'{{"PublicIP":"192.168.50.{number}","PublicIPv6":null}}'


@pytest.fixture
def host(sandbox: Sandbox) -> Host:
    # Subnets above are for leases that a test writes.
    sandbox.configure('{"Network": "10.2.0.0/16", "SubnetMax": "10.2.199.0"}')
    return sandbox.host("a")


def test_a_daemon_that_restarts_keeps_its_subnet(host, sandbox):
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    before = sandbox.leases()
    daemon.signal("TERM")
    assert daemon.ends() == 0
    assert "flannel0" not in host.links()
    again = host.flanneld()
    again.says("Subnet lease acquired")
    again.says(f"Found lease ({host.subnet}.0/24) for current IP ({host.address}), reusing")
    assert sandbox.leases() == before


def test_a_daemon_that_was_killed_leaves_no_device_and_keeps_its_subnet(host, sandbox):
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    before = sandbox.leases()
    daemon.signal("KILL")
    daemon.ends(5)
    host.flanneld().says("Watching for new subnet leases")
    assert host.links().count("flannel0") == 1
    assert sandbox.leases() == before


def test_an_emptied_etcd_gives_the_same_subnet_again(host, sandbox):
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    before = sandbox.leases()
    daemon.signal("TERM")
    daemon.ends()
    sandbox.etcdctl("del", "--prefix", f"{PREFIX}/subnets/")
    again = host.flanneld()
    again.says("Found previously leased subnet")
    again.says("Subnet lease acquired")
    assert sandbox.leases() == before


def test_an_etcd_that_lost_its_data_gives_a_running_daemon_the_same_subnet_again(host, sandbox):
    for number in range(20):  # so that the new etcd's revisions are lower than those that the daemon knows
        sandbox.etcdctl("put", "/elsewhere", str(number))
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    before = sandbox.leases()
    sandbox.etcd.signal("KILL")
    sandbox.etcd.ends(5)
    sandbox.start_etcd(fresh=True)
    daemon.says("Subnet lease acquired", times=2)
    assert sandbox.leases() == before
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.0.0-24", stranger(99))
    daemon.says("Subnet added: 10.2.0.0/24")


def test_a_lease_that_is_deleted_under_a_running_daemon_is_taken_again_within_two_seconds(host, sandbox):
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    before = sandbox.leases()
    sandbox.etcdctl("del", "--prefix", f"{PREFIX}/subnets/")
    daemon.says("lost: its key was deleted or has expired", timeout=2)
    daemon.says("Subnet lease acquired", times=2, timeout=2)
    assert sandbox.leases() == before


def test_a_lease_that_another_machine_took_is_given_up_and_another_is_acquired(host, sandbox):
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    stolen = host.subnet
    sandbox.etcdctl("put", f"{PREFIX}/subnets/{stolen}.0-24", stranger(99))
    daemon.says("lost: 192.168.50.99 has written its key", timeout=2)
    daemon.says("Subnet lease acquired", times=2)
    daemon.says(f"Subnet added: {stolen}.0/24")
    daemon.says("Watching for new subnet leases", times=2)
    assert host.subnet != stolen
    leases = sandbox.leases()
    assert leases[f"{stolen}.0-24"] == stranger(99)
    assert leases[f"{host.subnet}.0-24"] == stranger(11)
    (address,) = [item for item in host.link("flannel0")["addr_info"] if item["family"] == "inet"]
    assert address["local"] == f"{host.subnet}.0"


def test_junk_under_the_prefix_is_warned_of_once_and_hides_no_peer(host, sandbox):
    sandbox.etcdctl("put", f"{PREFIX}/subnets/not-a-subnet", "{}")
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.207.0-24", "no JSON")
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.208.0-24", '{"PublicIP": 7}')
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.208.0-24", '{"PublicIP": 8}')
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.0.0-24", stranger(99))
    daemon.says("Subnet added: 10.2.0.0/24")
    for name in ("not-a-subnet", "10.2.207.0-24", "10.2.208.0-24"):
        assert daemon.log.count(f"Ignoring the key {PREFIX}/subnets/{name}") == 1


def test_a_restart_of_etcd_is_survived_and_what_happened_meanwhile_is_learned(host, sandbox):
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.0.0-24", stranger(99))
    daemon = host.flanneld()
    daemon.says("Subnet added: 10.2.0.0/24")
    sandbox.etcd.signal("TERM")
    daemon.says("Watch subnets:")
    sandbox.etcd.ends(10)
    sandbox.start_etcd()
    sandbox.etcdctl("del", f"{PREFIX}/subnets/10.2.0.0-24")
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.210.0-24", stranger(98))
    daemon.says("Subnet removed: 10.2.0.0/24")
    daemon.says("Subnet added: 10.2.210.0/24")
    assert f"Subnet removed: {host.subnet}" not in daemon.log
    assert f"Subnet added: {host.subnet}" not in daemon.log


def test_an_etcd_that_stops_answering_is_noticed_and_survived(host, sandbox):
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    sandbox.etcd.signal("STOP")
    daemon.says("Watch subnets: etcd does not answer", timeout=15)
    sandbox.etcd.signal("CONT")
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.0.0-24", stranger(99))
    daemon.says("Subnet added: 10.2.0.0/24", timeout=15)
    assert "lost" not in daemon.log


@pytest.mark.thorough
def test_a_compaction_while_disconnected_is_survived(host, sandbox):
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.0.0-24", stranger(99))
    daemon = host.flanneld()
    daemon.says("Subnet added: 10.2.0.0/24")
    daemon.signal("STOP")
    sandbox.etcdctl("del", f"{PREFIX}/subnets/10.2.0.0-24")
    for number in (10, 11, 12):
        sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.{number}.0-24", stranger(number))
    sandbox.etcd.signal("KILL")
    sandbox.etcd.ends(5)
    sandbox.start_etcd()
    revision = sandbox.etcdctl("get", "/", "-w", "fields").partition('"Revision" : ')[2].split()[0]
    sandbox.etcdctl("compact", revision)
    daemon.signal("CONT")
    daemon.says("Subnet removed: 10.2.0.0/24")
    daemon.says("Subnet added: 10.2.12.0/24")
    assert f"Subnet removed: {host.subnet}" not in daemon.log


@pytest.mark.thorough
def test_everything_expiring_at_once_removes_every_peer(host, sandbox):
    for number in (209, 210):
        sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.{number}.0-24", stranger(number))
    daemon = host.flanneld()
    daemon.says("Subnet added: 10.2.210.0/24")
    sandbox.etcdctl("del", "--prefix", f"{PREFIX}/subnets/")
    daemon.says("Subnet lease acquired", times=2)
    daemon.says("Subnet removed: 10.2.209.0/24")
    daemon.says("Subnet removed: 10.2.210.0/24")
