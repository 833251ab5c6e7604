"""What becomes of packets, and of the device and the filters that they pass."""

import re

import pytest

from flanneld_py.errors import Exit
from tests.kernel.harness import ETCD, PREFIX

pytestmark = pytest.mark.kernel


def test_a_ping_between_pods_comes_with_a_ttl_of_60(pair):
    # 64, less one by each machine's kernel, which forwards it, and one by each daemon, as with flannel's.
    here, there = [host.pod() for host in pair]
    assert "ttl=60" in here.reaches(there.address, here.address)


def test_pods_reach_each_other_though_the_policy_of_forward_is_drop(pair):
    here, there = [host.pod() for host in pair]
    for host in pair:
        host.run("iptables", "-P", "FORWARD", "DROP")
    here.reaches(there.address, here.address)


def test_a_pod_that_pings_an_unknown_destination_is_told_by_flannel0(pair):
    host, _ = pair
    ping = host.pod().run("ping", "-c1", "10.2.0.9", check=False)
    assert f"From {host.subnet}.0 icmp_seq=1 Destination Net Unreachable" in ping.text


def test_datagrams_that_are_no_packets_are_dropped_and_the_others_still_carried(pair):
    here, there = pair
    source, destination = here.bridge(), there.bridge()
    here.run_python("send_junk", there.address)
    here.reaches(destination, source)


def test_a_device_that_was_set_down_and_up_carries_again(pair):
    here, there = pair
    source, destination = here.bridge(), there.bridge()
    here.run("ip", "link", "set", "flannel0", "down")
    here.run("ip", "link", "set", "flannel0", "up")
    here.reaches(destination, source)


def test_a_device_that_was_deleted_is_made_anew(pair, sandbox):
    here, there = pair
    source, destination = here.bridge(), there.bridge()
    here.run("ip", "link", "delete", "flannel0")
    here.reaches(destination, source)
    # By whoever sees it first: who reads from it, or who looks after devices.
    assert re.search("flannel0 (does not work any more|is gone)", here.daemon.log)
    link = here.link("flannel0")
    assert link is not None
    assert (link["mtu"], link["txqlen"]) == (1472, 500)


def test_a_device_that_was_deleted_while_etcd_is_down_is_made_anew(pair, sandbox):
    here, there = pair
    source, destination = here.bridge(), there.bridge()
    sandbox.etcd.signal("KILL")
    sandbox.etcd.ends(5)
    here.daemon.says("etcd does not answer")
    here.run("ip", "link", "delete", "flannel0")
    here.reaches(destination, source)


def test_an_underlay_with_a_smaller_mtu_makes_the_overlays_smaller(sandbox):
    sandbox.configure()
    host = sandbox.host("a")
    host.run("ip", "link", "set", "eth0", "mtu", "1400")
    host.flanneld().says("Watching for new subnet leases")
    link = host.link("flannel0")
    assert link is not None
    assert link["mtu"] == 1372
    assert "FLANNEL_MTU=1372\n" in host.subnet_env


def test_nothing_is_carried_while_no_lease_is_held(sandbox):
    # Three subnets, as flannel leaves the first out: one each, and one for somebody else.
    sandbox.configure('{ "Network": "10.2.0.0/22", "SubnetLen": 24 }')
    here, there = sandbox.host("a"), sandbox.host("b")
    daemon = here.flanneld()
    daemon.says("Watching for new subnet leases")
    there.flanneld().says("Subnet added: 10.2.")
    source, destination = here.bridge(), there.bridge()
    here.reaches(destination, source)
    stolen = here.subnet
    (free,) = {"10.2.1", "10.2.2", "10.2.3"} - {here.subnet, there.subnet}
    for subnet in (free, stolen):
        sandbox.etcdctl("put", f"{PREFIX}/subnets/{subnet}.0-24", '{"PublicIP":"192.0.2.1"}')
    daemon.says("lost: 192.0.2.1 has written its key", timeout=2)
    daemon.says("Failed to acquire subnet: out of subnets")
    ping = here.run("ping", "-c1", "-W1", "-I", source, destination, check=False)
    assert ping.exit_code != 0
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{free}.0-24")
    daemon.says(f"The subnet changed from {stolen}.0/24 to {free}.0/24: restart what uses it")
    assert here.subnet == free


def test_junk_over_a_daemons_own_key_is_written_over(pair, sandbox):
    host, _ = pair
    leases = sandbox.leases()
    sandbox.etcdctl("put", f"{PREFIX}/subnets/{host.subnet}.0-24", "no JSON")
    host.daemon.says(f"Lease renewed: {host.subnet}.0/24")
    assert sandbox.leases() == leases
    assert "lost" not in host.daemon.log


def test_an_endpoint_that_stops_answering_is_left_for_another(sandbox):
    sandbox.configure()
    relay = sandbox.start("relay")
    relay.says("listening")
    daemon = sandbox.host("a").flanneld(endpoints=f"http://192.168.50.1:4001,{ETCD}")
    daemon.says("Watching for new subnet leases")
    relay.signal("STOP")
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.0.0-24", '{"PublicIP":"192.0.2.1"}')
    daemon.says("Subnet added: 10.2.0.0/24")
    assert "lost" not in daemon.log


def test_a_second_daemon_on_the_same_machine_is_refused(sandbox):
    sandbox.configure()
    host = sandbox.host("a")
    host.flanneld().says("Watching for new subnet leases")
    second = host.flanneld()
    assert second.ends(10) == Exit.TAKEN
    assert "Binding UDP port 8285" in second.log.splitlines()[-1]
    assert host.links().count("flannel0") == 1
