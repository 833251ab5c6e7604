"""The udp backend's fast path: packets that the kernel carries by BPF programs, and all that it leaves.

Whether it is the programs that carry packets shows when the daemon is stopped: its loop then carries none.
"""

import json
import re

import pytest

from flanneld_py.errors import Exit
from lab import wait
from tests.kernel.counters import wrong_checksums
from tests.kernel.fast_path import FAST, NEEDED, attached, gets_all, goes_on_without, pair, stop
from tests.kernel.faults import PORT, TTL, UDP_WAYS, Node, configure, start
from tests.kernel.flow import Flow
from tests.kernel.harness import ETCD, PREFIX, Host, Process, Sandbox, eventually

pytestmark = NEEDED


def test_packets_are_carried_while_both_daemons_are_stopped(sandbox):
    here, there = pair(sandbox)
    goes_on_without(here.inside, there.inside, here, there)
    assert "ttl=60" in here.inside.reaches(there.inside.address, here.inside.address)
    gets_all(here.inside, there.inside, there.inside.address)
    gets_all(there.inside, here.inside, here.inside.address)
    gets_all(here.host, there.host, f"{there.host.subnet}.1")
    assert wrong_checksums(here.host, there.host, here.inside, there.inside) == []


def carried(of: Node) -> dict[tuple[str, str], int]:
    """Packets by direction and peer, as /metrics tells."""
    found = {}
    for line in of.get("/metrics").splitlines():
        if match := re.fullmatch(
            r'flanneld_packets_total\{direction="(.*)",network="",peer="(.*)"\} (.*)', line
        ):
            found[match[1], match[2]] = int(float(match[3]))
    return found


@pytest.mark.thorough
def test_what_was_counted_of_a_peer_that_has_left_stays_in_one_sum(sandbox):
    here, there = pair(sandbox)
    key, address = f"{PREFIX}/subnets/{there.host.subnet}.0-24", there.host.address
    # No more than this: the daemons announce nothing, and nobody else sends.
    here.inside.run("ping", "-c", "20", "-i", "0.01", there.inside.address)
    before = carried(here)
    assert before["sent", address] >= 20
    assert before["received", address] >= 20
    there.daemon.signal("TERM")
    there.daemon.ends()
    sandbox.etcdctl("del", key)

    def left() -> dict[tuple[str, str], int] | wait.NotYet:
        now = carried(here)
        return now if ("sent", address) not in now else wait.NotYet(str(now))

    after = eventually(left, "the peer to be told of no more")
    for direction in ("sent", "received"):
        assert after[direction, ""] == before.get((direction, ""), 0) + before[direction, address]
    assert json.loads(here.get("/state").partition(" ")[2])["networks"][0]["peers"] == []


def mixed(sandbox: Sandbox, way: str) -> tuple[Node, Node]:
    """Two machines, of which the second has no fast path."""
    configure(sandbox, "udp")
    here = Node(sandbox.host("a"), start(sandbox.hosts[0], *FAST))
    there = Node(sandbox.host("b"), start(sandbox.hosts[1], *UDP_WAYS[way]))
    for node in (here, there):
        node.daemon.says("Subnet added: ")
        node.pod = node.host.pod()
        node.inside.run("ip", "link", "set", "eth0", "mtu", "1472")
    here.inside.reaches(there.inside.address, here.inside.address)
    return here, there


@pytest.mark.thorough
@pytest.mark.parametrize("way", ["plain", "offloads"])
def test_a_peer_without_the_fast_path_is_understood_both_ways(sandbox, way):
    here, there = mixed(sandbox, way)
    gets_all(here.inside, there.inside, there.inside.address, 16)
    gets_all(there.inside, here.inside, here.inside.address, 16)
    gets_all(there.host, here.host, f"{here.host.subnet}.1", 16)
    assert wrong_checksums(here.host, there.host, here.inside, there.inside) == []


def test_tcp_of_a_peer_without_the_fast_path_is_joined_by_the_daemon_and_all_else_needs_none(sandbox):
    here, there = mixed(sandbox, "plain")
    hearer = here.inside.start("hear_hashed", here.inside.address)
    hearer.says("listening")
    stop(here)
    for line in there.inside.run_python("say_hashed", here.inside.address, "64").text.splitlines():
        hearer.says(line)
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 4245), timeout=float(sys.argv[2]))"
    tried = there.inside.run("python3", "-c", connect, here.inside.address, "1", check=False)
    assert "TimeoutError" in tried.output
    here.daemon.signal("CONT")
    tried = there.inside.run("python3", "-c", connect, here.inside.address, "10", check=False)
    assert "ConnectionRefusedError" in tried.output  # nobody listens there


@pytest.mark.thorough
def test_tcp_that_programs_have_sent_is_never_for_the_daemon_whoever_its_source_is(sandbox):
    here, there = pair(sandbox, *FAST, "-udp-source-check=off")
    here.inside.reaches(there.inside.address, here.inside.address)
    there.host.run("ip", "address", "add", "198.18.0.1/32", "dev", "lo")  # in nobody's lease
    here.host.run("ip", "route", "add", "198.18.0.1", "via", there.host.address)
    for node in (here, there):
        node.host.run("sh", "-c", "for each in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $each; done")
    connect = (
        "import socket, sys; "
        "socket.create_connection((sys.argv[1], 4245), timeout=5, source_address=('198.18.0.1', 0))"
    )
    tried = there.host.run("python3", "-c", connect, f"{here.host.subnet}.1", check=False)
    assert "ConnectionRefusedError" in tried.output  # nobody listens there
    assert wrong_checksums(here.host, there.host) == []


@pytest.mark.parametrize("size", [1, 64, 1400, 6000])
def test_datagrams_arrive_as_they_were_sent(sandbox, size):
    here, there = pair(sandbox)
    here.inside.reaches(there.inside.address, here.inside.address)
    hearer = there.inside.start("hear_hashed", there.inside.address)
    hearer.says("listening")
    if size <= 1400:
        for line in here.inside.run_python("say_hashed", there.inside.address, str(size)).text.splitlines():
            hearer.says(line)
    here.inside.run("ping", "-c1", "-s", str(size), there.inside.address)
    assert wrong_checksums(here.host, there.host, here.inside, there.inside) == []


@pytest.mark.thorough
def test_packets_end_with_the_lease_though_the_daemon_is_stopped(sandbox):
    here, there = pair(sandbox, altered={"ttl": TTL})
    flow = Flow.begin(here.inside, there.inside.address)
    stop(here, there)
    # Not renewed, it ends within its TTL, and by the kernel's clock.
    flow.stands_still(timeout=TTL + 2)
    for node in (here, there):
        node.daemon.signal("CONT")
    flow.goes_on(timeout=10)


def test_what_is_attached_ends_with_the_daemon_and_traffic_is_back_with_the_next(sandbox):
    here, there = pair(sandbox)
    assert (attached(here.host, "eth0"), attached(here.host, "flannel0")) == ([1, 0], [0, 1])
    flow = Flow.begin(here.inside, there.inside.address, interval=0.005)
    here.daemon.signal("KILL")
    here.daemon.ends(5)
    assert attached(here.host, "eth0") == [0, 0]
    here.daemon = start(here.host, *FAST)
    flow.end()  # how soon, `lab bench` measures
    assert attached(here.host, "eth0") == [1, 0]


@pytest.mark.thorough
def test_a_peer_that_comes_back_without_it_is_sent_to_as_a_genuine_one(sandbox):
    here, there = pair(sandbox)
    goes_on_without(here.inside, there.inside, here, there)
    for node in (here, there):
        node.daemon.signal("CONT")
    there.daemon.signal("TERM")
    there.daemon.ends(5)
    there.daemon = start(there.host, *UDP_WAYS["plain"])
    there.daemon.says("Subnet added: ")
    here.inside.reaches(there.inside.address, here.inside.address)
    gets_all(here.inside, there.inside, there.inside.address, 4)


def test_a_peer_that_is_gone_is_not_sent_to_any_more(sandbox):
    here, there = pair(sandbox)
    flow = Flow.begin(here.inside, there.inside.address)
    stop(there)
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{there.host.subnet}.0-24")
    here.daemon.says(f"Subnet removed: {there.host.subnet}.0/24")
    flow.stands_still()
    there.daemon.signal("CONT")
    there.daemon.says("Subnet lease acquired", times=2)
    flow.goes_on()


def test_a_lease_that_is_lost_ends_the_fast_path_at_once(sandbox):
    here, there = pair(sandbox)
    flow = Flow.begin(here.inside, there.inside.address)
    sandbox.etcdctl("put", f"{PREFIX}/subnets/{here.host.subnet}.0-24", '{"PublicIP":"192.168.50.99"}')
    here.daemon.says(" has written its key")
    flow.stands_still()


@pytest.mark.thorough
def test_two_networks_of_one_machine_have_a_fast_path_each(sandbox):
    for number, name in enumerate(("blue", "green")):
        backend = {"Type": "udp", "Port": 8285 + number}
        config = {"Network": f"10.{2 + number}.0.0/16", "Backend": backend}
        sandbox.etcdctl("put", f"{PREFIX}/{name}/config", json.dumps(config))
    host = sandbox.host("a")
    daemon = host.flanneld("-networks=blue,green", f"-subnet-dir=/run/flannel-{host.name}/networks", *FAST)
    daemon.says("Packets are carried by the fast path", times=2)
    assert attached(host, "eth0") == [2, 0]
    assert attached(host, "flannel0") == attached(host, "flannel1") == [0, 1]


def without_bpf(host: Host, *options: str) -> Process:
    """A daemon that may do everything but load programs: CAP_BPF or CAP_SYS_ADMIN, capabilities(7)."""
    argv = [f"-etcd-endpoints={ETCD}", f"-subnet-file={host.subnet_file}", "-iface=eth0"]
    health = ["-healthz-ip=127.0.0.1", f"-healthz-port={PORT}"]
    return host.spawn(
        "setpriv", "--bounding-set=-sys_admin,-bpf", "/usr/bin/flanneld", *argv, *health, *options
    )


@pytest.mark.thorough
def test_where_the_kernel_refuses_log_and_metrics_say_why_and_the_loop_serves(sandbox):
    configure(sandbox, "udp")
    hosts = sandbox.host("a"), sandbox.host("b")
    here, there = (Node(host, without_bpf(host)) for host in hosts)
    for node in (here, there):
        node.daemon.says("carried without the fast path: making the BPF map")
        node.daemon.says("Subnet added: ")
        node.pod = node.host.pod()
    assert "making the BPF map mandates: Operation not permitted" in here.get("/metrics")
    here.inside.reaches(there.inside.address, here.inside.address)


@pytest.mark.thorough
def test_a_fast_path_that_is_required_and_refused_ends_the_daemon(sandbox):
    configure(sandbox, "udp")
    daemon = without_bpf(sandbox.host("a"), *FAST)
    assert daemon.ends(20) == Exit.KERNEL
    assert "-udp-fast-path=require: making the BPF map mandates: Operation not permitted" in daemon.log


def test_connections_arrive_that_docker_masquerades_and_tracks(sandbox):
    """As the tutorial's Docker does by default: a pod's packets leave with its machine's flannel0 address."""
    here, there = pair(sandbox)
    for node in (here, there):
        rules = f"""
            iptables -t nat -A POSTROUTING -s {node.host.subnet}.0/24 ! -o docker0 -j MASQUERADE
            iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j ACCEPT
            iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        """
        node.host.run("sh", "-ec", rules)
    goes_on_without(here.inside, there.inside, here, there)
    gets_all(here.inside, there.inside, there.inside.address, 16)
    gets_all(there.inside, here.inside, here.inside.address, 16)
    for node in (here, there):
        node.daemon.signal("CONT")
