"""`flanneld cleanup` leaves a machine as if flannel had never been there."""

import base64
import json

import pytest

from tests.kernel.faults import needs
from tests.kernel.harness import PREFIX, Host, Sandbox

pytestmark = pytest.mark.kernel


@pytest.fixture
def host(sandbox: Sandbox) -> Host:
    return sandbox.host("a")


DATA: dict[str, dict[str, object]] = {
    "vxlan": {"VNI": 1, "VtepMAC": "02:00:00:00:00:63"},
    "wireguard": {"PublicKey": base64.b64encode(bytes([7]) * 32).decode()},
}
"""What the lease of a machine of this backend says besides its address."""


def configure(sandbox: Sandbox, backend: str) -> None:
    needs(sandbox, backend)
    sandbox.configure(json.dumps({"Network": "10.2.0.0/16", "Backend": {"Type": backend}}))
    data = {"BackendData": DATA[backend]} if backend in DATA else {}
    value = {"PublicIP": "192.168.50.99", "PublicIPv6": None, "BackendType": backend, **data}
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.99.0-24", json.dumps(value))


def filters(host: Host) -> list[str]:
    saved = host.run("iptables-save").text.splitlines()
    # Comments have the time, chains have counters.
    return [line.partition(" [")[0] for line in saved if not line.startswith("#")]


def cleanup(host: Host) -> tuple[int, str]:
    done = host.run("/usr/bin/flanneld", "cleanup", check=False)
    return done.exit_code, done.output


@pytest.mark.parametrize("backend", ["vxlan", "host-gw", "wireguard", "ipip"])
def test_everything_that_is_flannels_goes_and_everything_else_stays(host, sandbox, backend):
    configure(sandbox, backend)
    host.run("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "198.18.0.0/24", "-j", "MASQUERADE")
    host.run("iptables", "-A", "FORWARD", "-s", "198.18.0.0/24", "-j", "ACCEPT")
    host.run("ip", "route", "add", "198.18.0.0/24", "via", "192.168.50.1")
    links, routes, rules = host.links(), host.run("ip", "route").text, filters(host)

    daemon = host.flanneld("-ip-masq", "-ip-blackhole-route")
    daemon.says("Subnet added: 10.2.99.0/24")
    daemon.says("Watching for new subnet leases")
    assert "proto 241" in host.run("ip", "route").text
    daemon.signal("TERM")
    assert daemon.ends() == 0
    left = host.run("ip", "route").text
    assert f"blackhole {host.subnet}.0/24 proto 242" in left
    assert "10.2.99.0/24" in left

    code, said = cleanup(host)
    assert code == 0, said
    assert "removed" in said
    assert host.links() == links
    assert host.run("ip", "route").text == routes
    assert filters(host) == rules
    assert sandbox.run("cat", host.subnet_file).text

    assert cleanup(host) == (0, "found nothing of flannel's to remove\n")


def test_a_running_flanneld_is_noticed(host, sandbox):
    configure(sandbox, "udp")
    host.flanneld().says("Watching for new subnet leases")
    code, said = cleanup(host)
    assert code == 3
    assert "a flanneld is running: stop it" in said


def test_without_the_privilege_it_says_so(host):
    done = host.run("setpriv", "--bounding-set=-net_admin", "/usr/bin/flanneld", "cleanup", check=False)
    assert done.exit_code == 3
    assert "CAP_NET_ADMIN" in done.output


def test_a_packet_for_an_unused_address_of_our_subnet_ends_here_and_a_bridge_comes_first(host, sandbox):
    configure(sandbox, "udp")
    host.flanneld("-ip-blackhole-route").says("Watching for new subnet leases")
    unused = f"{host.subnet}.77"
    assert host.run("ip", "route", "get", unused, check=False).exit_code != 0
    host.bridge()
    assert "dev docker0" in host.run("ip", "route", "get", unused).text


@pytest.mark.parametrize(
    ("shell", "status"),
    [("/usr/bin/flanneld cleanup >/dev/full", 7), ("set -o pipefail; /usr/bin/flanneld cleanup | true", 0)],
    ids=["full", "a reader that stops"],
)
def test_everything_goes_also_where_it_cannot_be_told(host, sandbox, shell, status):
    configure(sandbox, "vxlan")
    daemon = host.flanneld("-ip-masq")
    daemon.says("Subnet added: 10.2.99.0/24")
    daemon.signal("TERM")
    daemon.ends()
    done = host.run("bash", "-c", shell, check=False)
    assert done.exit_code == status, done.output
    assert cleanup(host) == (0, "found nothing of flannel's to remove\n")
