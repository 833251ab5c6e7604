"""How a daemon starts, what it refuses, and how it ends."""

import json

import pytest

from flanneld_py.errors import Exit
from tests.kernel.harness import ETCD, PREFIX, Process, Sandbox

pytestmark = pytest.mark.kernel


@pytest.fixture
def host(sandbox: Sandbox):
    made = sandbox.host("a")
    made.forks = False
    return made


def refusal(daemon: Process, code: Exit) -> str:
    """The last line of a daemon that must end with this exit status by itself."""
    assert daemon.ends(10) == code
    line = daemon.log.splitlines()[-1]
    assert line.startswith("E")
    assert "Traceback" not in daemon.log
    return line


def test_ready_is_told_once_and_after_subnet_env_is_in_place(host, sandbox):
    sandbox.configure()
    daemon = host.flanneld(notified=True)
    daemon.says("NOTIFY READY=1 True")
    daemon.says("Watching for new subnet leases")
    assert daemon.log.count("NOTIFY") == 1
    modes = sandbox.run("stat", "-c", "%a", host.subnet_file, host.subnet_file.rpartition("/")[0]).text
    assert modes.split() == ["644", "755"]


def test_without_a_configuration_it_says_so_once_and_waits_for_it(host, sandbox):
    daemon = host.flanneld()
    daemon.says(f"etcd has no key {PREFIX}/config yet")
    sandbox.configure()
    daemon.says("Subnet lease acquired")
    assert daemon.log.count("has no key") == 1


@pytest.mark.thorough
def test_without_etcd_it_says_so_and_waits_for_it(host, sandbox):
    sandbox.configure()
    sandbox.etcd.signal("TERM")
    sandbox.etcd.ends(5)
    daemon = host.flanneld()
    daemon.says("Failed to retrieve network config: etcd does not answer: http://192.168.50.1:2379: ")
    sandbox.start_etcd()
    daemon.says("Subnet lease acquired")


@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_it_ends_soon_when_told_to(host, sandbox, signal):
    sandbox.configure()
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    daemon.signal(signal)
    assert daemon.ends(5) == 0
    assert daemon.log.splitlines()[-1].endswith("] Exiting...")
    assert "flannel0" not in host.links()


@pytest.mark.thorough
def test_it_ends_soon_while_etcd_does_not_answer(host, sandbox):
    sandbox.configure()
    daemon = host.flanneld()
    daemon.says("Watching for new subnet leases")
    sandbox.etcd.signal("STOP")
    daemon.says("Watch subnets:", timeout=15)
    daemon.signal("TERM")
    assert daemon.ends(5) == 0


@pytest.mark.thorough
def test_it_ends_soon_while_it_waits_for_its_first_answer(host, sandbox):
    sandbox.etcd.signal("STOP")
    daemon = host.flanneld()
    daemon.says("as external endpoint")
    daemon.signal("TERM")
    assert daemon.ends(5) == 0


def test_a_taken_port_is_named_and_no_device_is_made(host, sandbox):
    sandbox.configure()
    host.start("hold_port", "8285").says("bound")
    line = refusal(host.flanneld(), Exit.TAKEN)
    assert "8285" in line
    assert "flannel0" not in host.links()
    assert sandbox.leases() == {}


def test_an_interface_that_is_not_there_is_named_with_those_that_are(host):
    line = refusal(host.flanneld("-iface-wait=0", iface="nope0"), Exit.INTERFACE)
    assert "nope0" in line
    assert "eth0 (192.168.50.11)" in line


def test_without_a_default_route_the_interface_must_be_named(host):
    line = refusal(host.flanneld("-iface-wait=0", iface=""), Exit.INTERFACE)
    assert "Unable to find default route" in line
    assert "-iface" in line


@pytest.mark.thorough
def test_an_interface_can_be_named_by_its_address(host, sandbox):
    sandbox.configure()
    host.flanneld(iface="192.168.50.11").says("Subnet lease acquired")


@pytest.mark.thorough
def test_the_default_routes_interface_is_the_default(host, sandbox):
    sandbox.configure()
    host.run("ip", "route", "add", "default", "via", "192.168.50.1")
    host.flanneld(iface="").says("Using 192.168.50.11 as external interface")


def test_a_public_ip_of_its_own_is_announced(host, sandbox):
    sandbox.configure()
    host.flanneld("-public-ip=192.0.2.7").says("Subnet lease acquired")
    assert list(sandbox.leases().values()) == ['{"PublicIP":"192.0.2.7","PublicIPv6":null}']


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"Network": "10.2.0.0/16", "SubnetLen": 8}, "SubnetLen"),
        ({"Network": "10.2.0.0/16", "SubnetMin": "10.3.0.0"}, "SubnetMin"),
        ({"Network": "10.2.0.0/16", "Backend": {"Type": "nope"}}, "Backend.Type"),
        ({"Network": "10.2.0.0/16", "Backend": {"Type": "udp", "Port": 70000}}, "Backend.Port"),
        ({}, "Network"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_configuration_is_named_with_its_key_and_waited_for(host, sandbox, config, key):
    sandbox.configure(json.dumps(config))
    daemon = host.flanneld()
    daemon.says(f"Bad network config in {PREFIX}/config: {key}")
    assert "flannel0" not in host.links()
    sandbox.configure()
    daemon.says("Subnet lease acquired")


def test_without_the_privilege_to_make_devices_it_says_so(host):
    unprivileged = host.spawn(
        "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin",
        "/usr/bin/flanneld", f"-etcd-endpoints={ETCD}", "-iface=eth0",
    )  # fmt: skip
    assert "CAP_NET_ADMIN" in refusal(unprivileged, Exit.KERNEL)


@pytest.mark.thorough
def test_a_file_that_cannot_be_written_is_named(host, sandbox):
    sandbox.configure()
    sandbox.run("touch", "/run/flat")
    line = refusal(host.flanneld("-subnet-file=/run/flat/subnet.env"), Exit.FILE)
    assert "/run/flat/subnet.env" in line


def test_masquerading_makes_flannels_rules_once(host, sandbox):
    sandbox.configure()
    for _ in range(2):
        daemon = host.flanneld("-ip-masq")
        daemon.says("Watching for new subnet leases")
        daemon.signal("TERM")
        daemon.ends()
    # Today's flannel's rules, as iptables-save prints them (its e2e/rules.go).
    ours, comment = f"{host.subnet}.0/24", '-m comment --comment "flanneld masq"'
    rules = host.run("iptables-save", "-t", "nat").text.splitlines()
    assert [rule for rule in rules if rule.startswith("-A")] == [
        f"-A POSTROUTING {comment} -j FLANNEL-POSTRTG",
        f"-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 {comment} -j RETURN",
        f"-A FLANNEL-POSTRTG -s {ours} -d 10.2.0.0/16 {comment} -j RETURN",
        f"-A FLANNEL-POSTRTG -s 10.2.0.0/16 -d {ours} {comment} -j RETURN",
        f"-A FLANNEL-POSTRTG ! -s 10.2.0.0/16 -d {ours} {comment} -j RETURN",
        f"-A FLANNEL-POSTRTG -s 10.2.0.0/16 ! -d 224.0.0.0/4 {comment} -j MASQUERADE --random-fully",
        f"-A FLANNEL-POSTRTG ! -s 10.2.0.0/16 -d 10.2.0.0/16 {comment} -j MASQUERADE --random-fully",
    ]
    assert host.subnet_env.endswith("FLANNEL_IPMASQ=true\n")
