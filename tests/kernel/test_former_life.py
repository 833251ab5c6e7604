"""What flannelds left in the kernel with another Network, or another backend, and what is a neighbour's."""

import json

import pytest

from lab import wait
from tests.kernel.harness import PREFIX, Host, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel

NOTES = "1718378862"
"""The table with the notes of who has which network."""


def configure(sandbox: Sandbox, network: str, kind: str, *, ipv6: str = "", prefix: str = PREFIX) -> None:
    """A network, whose lease 99 is of a machine that is not there."""
    backend = {"Type": kind, "DirectRouting": True} if kind == "vxlan" else {"Type": kind}
    config: dict[str, object] = {"Network": f"{network}.0.0/16", "Backend": backend}
    if ipv6:
        config |= {"EnableIPv6": True, "IPv6Network": f"{ipv6}::/56"}
    sandbox.etcdctl("del", "--prefix", f"{prefix}/subnets/")
    sandbox.etcdctl("put", f"{prefix}/config", json.dumps(config))
    data = {"BackendData": {"VNI": 1, "VtepMAC": "02:00:00:00:00:63"}} if kind == "vxlan" else {}
    lease = {"PublicIP": "192.168.50.12", "PublicIPv6": "fd00:50::12", "BackendType": kind, **data}
    key = f"{network}.99.0-24" + (f"&{ipv6}:99::-64" if ipv6 else "")
    sandbox.etcdctl("put", f"{prefix}/subnets/{key}", json.dumps(lease))


def marked(host: Host, family: str = "-4") -> list[str]:
    """Destinations of the marked routes, as `ip route` has them."""
    text = host.run("ip", family, "route", "show", "proto", "241").text
    return sorted(line.split()[0] for line in text.splitlines())


def has(host: Host, *expected: str, family: str = "-4") -> None:
    def probe() -> bool | wait.NotYet:
        seen = marked(host, family)
        return seen == sorted(expected) or wait.NotYet(seen)

    eventually(probe, f"the marked routes {expected} on {host.name}", 25)


def run(host: Host, *options: str) -> Process:
    daemon = host.flanneld(*options)
    daemon.says("Watching for new subnet leases")
    return daemon


def end(daemon: Process) -> None:
    daemon.signal("TERM")
    assert daemon.ends() == 0


@pytest.fixture
def host(sandbox: Sandbox) -> Host:
    return sandbox.host("a")


@pytest.mark.parametrize("before", ["host-gw", "vxlan"])
@pytest.mark.parametrize("after", ["host-gw", "vxlan", "udp", "alloc"])
def test_routes_of_the_network_that_we_had_before_go_with_the_next_start(host, sandbox, before, after):
    configure(sandbox, "10.9", before)
    daemon = run(host)
    has(host, "10.9.99.0/24")
    end(daemon)
    configure(sandbox, "10.2", after)
    host.run("rm", host.subnet_file)
    run(host).says(
        "Removed stale entries of another network or backend: route 10.9.99.0/24 via 192.168.50.12"
    )
    has(host, *(["10.2.99.0/24"] if after in ("host-gw", "vxlan") else []))


@pytest.mark.parametrize("after", ["udp", "alloc"])
def test_routes_of_a_backend_that_we_had_before_do_not_stand_in_the_way(host, sandbox, after):
    configure(sandbox, "10.2", "host-gw")
    daemon = run(host)
    has(host, "10.2.99.0/24")
    end(daemon)
    configure(sandbox, "10.2", after)
    run(host)
    has(host)


@pytest.mark.thorough
def test_routes_of_both_families_go(host, sandbox):
    host.run(
        "sh",
        "-ec",
        """
        sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0
        ip address add fd00:50::11/64 dev eth0 nodad
    """,
    )
    configure(sandbox, "10.9", "host-gw", ipv6="2001:cafe:9")
    daemon = run(host)
    has(host, "2001:cafe:9:99::/64", family="-6")
    end(daemon)
    configure(sandbox, "10.2", "host-gw", ipv6="2001:cafe:2")
    run(host)
    has(host, "2001:cafe:2:99::/64", family="-6")
    has(host, "10.2.99.0/24")


def test_neighbours_of_a_device_that_we_had_before_go(host, sandbox):
    configure(sandbox, "10.9", "vxlan")
    value = {
        "PublicIP": "203.0.113.9",
        "BackendType": "vxlan",
        "BackendData": {"VNI": 1, "VtepMAC": "02:00:00:00:00:09"},
    }
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.9.98.0-24", json.dumps(value))
    daemon = run(host)
    has(host, "10.9.98.0/24", "10.9.99.0/24")
    assert "10.9.98.0" in host.run("ip", "neighbour", "show", "dev", "flannel.1").text
    end(daemon)
    configure(sandbox, "10.2", "host-gw")
    run(host)
    has(host, "10.2.99.0/24")
    assert host.run("ip", "neighbour", "show", "dev", "flannel.1").text == ""


def test_two_daemons_of_one_machine_leave_each_others_alone_also_those_of_one_that_is_down(host, sandbox):
    configure(sandbox, "10.9", "host-gw")
    configure(sandbox, "10.5", "host-gw", prefix="/other")
    neighbours = ["-etcd-prefix=/other", "-subnet-file=/run/flannel-a/other.env", "-ip-blackhole-route"]
    ours, theirs = run(host, "-ip-blackhole-route"), run(host, *neighbours)
    has(host, "10.9.99.0/24", "10.5.99.0/24")
    blackholes = host.run("ip", "route", "show", "proto", "242").text
    assert blackholes.count("blackhole") == 2
    end(theirs)
    end(ours)
    configure(sandbox, "10.2", "host-gw")
    again = run(host)
    has(host, "10.2.99.0/24", "10.5.99.0/24")
    left = host.run("ip", "route", "show", "proto", "242").text.splitlines()
    assert [line for line in left if line.startswith("blackhole 10.5.")] == left
    assert len(left) == 1
    run(host, *neighbours)
    has(host, "10.2.99.0/24", "10.5.99.0/24")
    end(again)
    run(host)
    has(host, "10.2.99.0/24", "10.5.99.0/24")


@pytest.mark.thorough
def test_networks_of_one_daemon_leave_each_others_alone(host, sandbox):
    for name, network in (("blue", "10.9"), ("green", "10.5")):
        configure(sandbox, network, "host-gw", prefix=f"{PREFIX}/{name}")
    options = ["-networks=blue,green", "-subnet-dir=/run/flannel-a/networks"]
    daemon = host.flanneld(*options)
    daemon.says("Watching for new subnet leases", times=2)
    has(host, "10.9.99.0/24", "10.5.99.0/24")
    end(daemon)
    configure(sandbox, "10.2", "host-gw", prefix=f"{PREFIX}/blue")
    host.flanneld(*options).says("Watching for new subnet leases", times=2)
    has(host, "10.2.99.0/24", "10.5.99.0/24")


@pytest.mark.thorough
def test_cleanup_takes_what_every_life_left(host, sandbox):
    configure(sandbox, "10.9", "vxlan")
    end(run(host, "-ip-blackhole-route"))
    host.run("ip", "route", "add", "10.7.99.0/24", "via", "192.168.50.12", "proto", "241")
    host.run(
        "ip", "neighbour", "add", "10.7.99.0", "lladdr", "02:00:00:00:00:01", "dev", "eth0", "protocol", "241"
    )
    assert host.run("ip", "route", "show", "table", NOTES).text.startswith("throw 10.9.0.0/16 proto 241")
    assert host.run("/usr/bin/flanneld", "cleanup").exit_code == 0
    assert marked(host) == []
    assert "10.7.99.0" not in host.run("ip", "neighbour").text
    assert host.run("ip", "route", "show", "table", NOTES, check=False).text == ""
    assert host.run("/usr/bin/flanneld", "cleanup").text == "found nothing of flannel's to remove\n"
