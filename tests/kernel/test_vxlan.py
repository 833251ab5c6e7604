"""vxlan with real daemons: devices and entries as flannel's, and what happens when somebody changes them."""

import json
import re
from collections.abc import Sequence

import pytest

from flanneld_py.errors import Exit
from lab import wait
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Host, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel

MAC = r"[0-9a-f][26ae](?::[0-9a-f]{2}){5}"
"""One machine's, locally administered."""


def configure(sandbox: Sandbox, **backend: object) -> None:
    """Daemons pick subnets up to 10.2.199.0/24; those above are for leases that a test writes."""
    network = {"Network": "10.2.0.0/16", "SubnetMax": "10.2.199.0"}
    sandbox.configure(json.dumps({**network, "Backend": {"Type": "vxlan", **backend}}))


def start(hosts: Sequence[Host], *options: str) -> list[Process]:
    daemons = [host.flanneld(*options) for host in hosts]
    for daemon in daemons:
        daemon.says("Subnet added: ", times=len(hosts) - 1)
        daemon.says("Watching for new subnet leases")
    return daemons


@pytest.fixture
def hosts(sandbox: Sandbox) -> tuple[Host, Host]:
    configure(sandbox)
    made = sandbox.host("a"), sandbox.host("b")
    start(made)
    return made


def mac_of(host: Host, name: str = "flannel.1") -> str:
    link = host.link(name)
    assert link is not None
    return str(link["address"])


def shown(host: Host, *argv: str) -> list[str]:
    """Lines of `ip` or `bridge`, each without superfluous blanks."""
    return [" ".join(line.split()) for line in host.run(*argv).text.splitlines()]


def ways(host: Host, device: str = "flannel.1") -> list[str]:
    """All routes, neighbours and FDB entries of a device, but neighbours that the kernel only looks for."""
    lines = [
        *shown(host, "ip", "route", "show", "dev", device),
        *shown(host, "ip", "neighbour", "show", "dev", device),
        *shown(host, "bridge", "fdb", "show", "dev", device),
    ]
    # What is on its way to a peer that has just gone makes it look for that peer's MAC.
    return [line for line in lines if not line.endswith((" INCOMPLETE", " FAILED"))]


def way(subnet: str, mac: str, address: str) -> list[str]:
    """Those of one peer, as flannel 0.20.2 makes them, with our marks: proto 241 and extern_learn."""
    return [
        f"{subnet}.0/24 via {subnet}.0 proto 241 onlink",
        f"{subnet}.0 lladdr {mac} PERMANENT proto 241",
        f"{mac} dst {address} self extern_learn permanent",
    ]


def has(host: Host, expected: Sequence[str], timeout: float = 20, device: str = "flannel.1") -> None:
    """Wait until exactly these are there."""

    def probe() -> bool | wait.NotYet:
        seen = ways(host, device)
        return sorted(seen) == sorted(expected) or wait.NotYet(seen)

    eventually(probe, f"{list(expected)} on {host.name}", timeout)


def stranger(number: int, mac: str) -> str:
    """The lease of a machine that is not there."""
    return (
        f'{{"PublicIP":"192.168.50.{number}","PublicIPv6":null,"BackendType":"vxlan",'
        f'"BackendData":{{"VNI":1,"VtepMAC":"{mac}"}}}}'
    )


# As flannel


def test_leases_and_subnet_env_are_flannels(hosts, sandbox):
    expected = {
        f"{host.subnet}.0-24": (
            f'{{"PublicIP":"{host.address}","PublicIPv6":null,"BackendType":"vxlan",'
            f'"BackendData":{{"VNI":1,"VtepMAC":"{mac_of(host)}"}}}}'
        )
        for host in hosts
    }
    assert sandbox.leases() == expected
    assert "FLANNEL_MTU=1450" in hosts[0].subnet_env
    for host in hosts:
        assert re.fullmatch(MAC, mac_of(host))


def test_the_device_is_flannels(hosts):
    for host in hosts:
        link = host.link("flannel.1")
        assert link is not None
        assert (link["mtu"], "UP" in link["flags"]) == (1450, True)
        addresses = [
            f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"] if item["family"] == "inet"
        ]
        assert addresses == [f"{host.subnet}.0/32"]
        details = " ".join(shown(host, "ip", "-d", "link", "show", "flannel.1"))
        # flannel 0.20.2's and 0.5.5's.
        assert f"vxlan id 1 local {host.address} dev eth0 srcport 0 0 dstport 8472 ttl auto" in details
        assert " nolearning " in details
        assert host.run("cat", "/proc/sys/net/ipv6/conf/flannel.1/accept_ra").text == "0\n"


def test_each_peer_has_a_route_a_neighbour_and_an_fdb_entry(hosts):
    here, there = hosts
    has(here, way(there.subnet, mac_of(there), there.address))
    has(there, way(here.subnet, mac_of(here), here.address))


def test_the_very_first_packet_arrives(hosts):
    here, there = (host.pod() for host in hosts)
    ping = here.run("ping", "-c1", there.address)
    assert "1 received" in ping.text


@pytest.mark.thorough
def test_the_very_first_syn_is_answered(hosts):
    here, there = (host.pod() for host in hosts)
    server = there.start("give_back", there.address)
    server.says("listening")
    seconds = float(here.run_python("time_connect", there.address).text)
    assert seconds < 0.9  # a second SYN would leave after 1 s: TCP_TIMEOUT_INIT of net/tcp.h


def test_tcp_carries_data_between_pods_both_ways(hosts):
    pods = [host.pod() for host in hosts]
    for here, there in (pods, pods[::-1]):
        server = there.start("give_back", there.address)
        server.says("listening")
        here.run_python("compare_back", there.address, "5")


def test_a_packet_of_the_full_mtu_crosses_whole_and_a_larger_one_does_not(hosts):
    here, there = (host.pod() for host in hosts)
    # IP's and ICMP's headers have 28 bytes. Both pods may send 1500.
    here.run("ping", "-c1", "-M", "do", "-s", str(1450 - 28), there.address)
    larger = here.run("ping", "-c1", "-W2", "-M", "do", "-s", str(1451 - 28), there.address, check=False)
    assert larger.exit_code == 1
    assert "mtu = 1450" in larger.text  # the machine's answer: "Frag needed and DF set"


@pytest.mark.thorough
def test_on_an_underlay_of_1400_bytes_pods_have_1350(sandbox):
    configure(sandbox)
    made = [sandbox.host("a"), sandbox.host("b")]
    for host in made:
        host.run("ip", "link", "set", "eth0", "mtu", "1400")
    start(made)
    assert "FLANNEL_MTU=1350" in made[0].subnet_env
    link = made[0].link("flannel.1")
    assert link is not None
    assert link["mtu"] == 1350
    source, destination = (host.bridge() for host in made)
    made[0].run("ping", "-c1", "-M", "do", "-s", str(1350 - 28), "-I", source, destination)


@pytest.mark.parametrize(
    ("backend", "device", "details"),
    [
        ({"Port": 4789}, "flannel.1", "dstport 4789"),
        ({"Port": 8472}, "flannel.1", "dstport 8472"),
        ({"VNI": 42}, "flannel.42", "vxlan id 42"),
        ({"GBP": True}, "flannel.1", " gbp "),
        ({"MTU": 1400}, "flannel.1", " mtu 1350 "),
    ],
)
def test_the_device_is_as_the_configuration_says(sandbox, backend, device, details):
    configure(sandbox, **backend)
    host = sandbox.host("a")
    host.flanneld().says("Watching for new subnet leases")
    assert details in " ".join(shown(host, "ip", "-d", "link", "show", device))


@pytest.mark.thorough
def test_a_device_that_learns_is_made_where_the_configuration_says_so(sandbox):
    configure(sandbox, Learning=True)
    host = sandbox.host("a")
    host.flanneld().says("Watching for new subnet leases")
    assert "nolearning" not in " ".join(shown(host, "ip", "-d", "link", "show", "flannel.1"))


def test_with_direct_routing_a_peer_on_the_link_is_reached_without_encapsulation(sandbox):
    configure(sandbox, DirectRouting=True)
    made = sandbox.host("a"), sandbox.host("b")
    start(made)
    here, there = made
    sandbox.etcdctl(
        "put", f"{PREFIX}/subnets/10.2.250.0-24", stranger(9, "52:08:00:00:00:09").replace(".50.", ".77.")
    )
    has(here, way("10.2.250", "52:08:00:00:00:09", "192.168.77.9"))
    direct = f"{there.subnet}.0/24 via {there.address} proto 241"
    assert direct in shown(here, "ip", "route", "show", "dev", "eth0")
    source, destination = (host.bridge() for host in made)
    here.reaches(destination, source)


# Restarts


def test_a_daemon_that_restarts_keeps_the_device_its_mac_and_its_lease(hosts, sandbox):
    here, _ = hosts
    before = sandbox.leases()
    index = here.link("flannel.1")["ifindex"]
    hosts[0].daemon.signal("TERM")
    assert hosts[0].daemon.ends() == 0
    assert "flannel.1" in here.links()
    here.flanneld().says("Watching for new subnet leases")
    assert sandbox.leases() == before
    assert here.link("flannel.1")["ifindex"] == index


def test_a_killed_daemon_that_starts_again_loses_no_packet(hosts, sandbox):
    here, there = (host.pod() for host in hosts)
    here.reaches(there.address, here.address)
    flow = Flow.begin(here, there.address)
    hosts[0].daemon.signal("KILL")
    hosts[0].daemon.ends(5)
    hosts[0].flanneld().says("Watching for new subnet leases")
    assert flow.end().lost == ()


def test_what_is_left_of_a_peer_that_vanished_while_we_were_down_is_taken_away(hosts, sandbox):
    here, there = hosts
    has(here, way(there.subnet, mac_of(there), there.address))
    for daemon in [host.daemon for host in hosts]:
        daemon.signal("KILL")
        daemon.ends(5)
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{there.subnet}.0-24")
    here.flanneld().says("Watching for new subnet leases")
    has(here, [])


def test_an_incompatible_device_is_made_anew_with_its_mac_and_the_reason(sandbox):
    configure(sandbox)
    host = sandbox.host("a")
    mac = "52:08:00:00:00:01"
    host.run(
        "ip", "link", "add", "flannel.1", "address", mac,
        "type", "vxlan", "id", "1", "local", host.address, "dev", "eth0", "dstport", "4789",
    )  # fmt: skip
    daemon = host.flanneld()
    daemon.says(
        "flannel.1 already exists with incompatible configuration: port: 4789, not 8472; recreating device"
    )
    daemon.says("Watching for new subnet leases")
    assert "dstport 8472" in " ".join(shown(host, "ip", "-d", "link", "show", "flannel.1"))
    assert mac_of(host) == mac


# Peers come, change and go


def test_a_peer_that_comes_and_goes_leaves_nothing(hosts, sandbox):
    here, there = hosts
    other = way(there.subnet, mac_of(there), there.address)
    mac = "52:08:00:00:00:09"
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", stranger(9, mac))
    has(here, other + way("10.2.250", mac, "192.168.50.9"), timeout=2)
    sandbox.etcdctl("del", f"{PREFIX}/subnets/10.2.250.0-24")
    has(here, other, timeout=2)


@pytest.mark.parametrize(
    ("number", "mac"), [(9, "52:08:00:00:00:99"), (99, "52:08:00:00:00:09"), (99, "52:08:00:00:00:99")]
)
def test_a_peer_that_is_replaced_is_reached_anew_within_two_seconds(hosts, sandbox, number, mac):
    here, there = hosts
    other = way(there.subnet, mac_of(there), there.address)
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", stranger(9, "52:08:00:00:00:09"))
    has(here, other + way("10.2.250", "52:08:00:00:00:09", "192.168.50.9"), timeout=2)
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", stranger(number, mac))
    has(here, other + way("10.2.250", mac, f"192.168.50.{number}"), timeout=2)


@pytest.mark.thorough
def test_a_machine_with_two_leases_is_reached_when_the_older_one_goes(hosts, sandbox):
    here, there = hosts
    value = sandbox.leases()[f"{there.subnet}.0-24"]
    mine = way(there.subnet, mac_of(there), there.address)
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", value)
    hosts[0].daemon.says("Refusing the lease of 10.2.250.0/24")
    has(here, mine, timeout=2)
    hosts[1].daemon.signal("KILL")
    hosts[1].daemon.ends(5)
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{there.subnet}.0-24")
    hosts[0].daemon.says("Subnet added: 10.2.250.0/24")
    has(here, way("10.2.250", mac_of(there), there.address), timeout=2)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("value", "warning"),
    [
        ('{"PublicIP":"192.168.50.9","PublicIPv6":null}', "Ignoring non-vxlan subnet: type="),
        ('{"PublicIP":"192.168.50.9","BackendType":"vxlan","BackendData":{"VtepMAC":"junk"}}', "VtepMAC"),
    ],
)
def test_a_lease_that_leads_nowhere_is_warned_of_and_hides_no_other(hosts, sandbox, value, warning):
    here, there = hosts
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", value)
    hosts[0].daemon.says(warning)
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.251.0-24", stranger(8, "52:08:00:00:00:08"))
    others = way(there.subnet, mac_of(there), there.address)
    has(here, others + way("10.2.251", "52:08:00:00:00:08", "192.168.50.8"))


def test_a_lease_as_v0_5_5_writes_it_is_a_peers(hosts, sandbox):
    here, there = hosts
    value = '{"PublicIP":"192.168.50.9","BackendType":"vxlan","BackendData":{"VtepMAC":"52:08:00:00:00:09"}}'
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", value)
    others = way(there.subnet, mac_of(there), there.address)
    has(here, others + way("10.2.250", "52:08:00:00:00:09", "192.168.50.9"))


# What others do to the kernel


def test_what_is_deleted_or_changed_comes_back(hosts):
    here, there = hosts
    mac = mac_of(there)
    wanted = way(there.subnet, mac, there.address)
    has(here, wanted)
    script = f"""
        ip route delete {there.subnet}.0/24
        ip neighbour delete {there.subnet}.0 dev flannel.1
        bridge fdb delete {mac} dev flannel.1 dst {there.address} self
    """
    here.run("sh", "-ec", script)
    has(here, wanted)
    script = f"""
        ip route replace {there.subnet}.0/24 via 192.168.50.99
        ip neighbour replace {there.subnet}.0 lladdr 52:08:00:00:00:77 dev flannel.1 nud permanent
        bridge fdb replace {mac} dev flannel.1 dst 192.168.50.77 self permanent
    """
    here.run("sh", "-ec", script)
    has(here, wanted)


@pytest.mark.thorough
def test_what_others_made_on_the_device_stays(hosts, sandbox):
    here, there = hosts
    script = """
        ip route add 10.99.0.0/24 via 10.99.0.0 dev flannel.1 onlink
        ip neighbour add 10.99.0.0 lladdr 52:08:00:00:00:77 dev flannel.1 nud permanent
        bridge fdb add 52:08:00:00:00:77 dev flannel.1 dst 192.168.50.77 self permanent
    """
    here.run("sh", "-ec", script)
    foreign = [line for line in ways(here) if "10.99.0.0" in line or "52:08:00:00:00:77" in line]
    assert len(foreign) == 3
    hosts[0].daemon.signal("KILL")
    hosts[0].daemon.ends(5)
    here.flanneld().says("Watching for new subnet leases")
    # A repair has passed when this is put right.
    here.run("ip", "route", "delete", f"{there.subnet}.0/24")
    has(here, way(there.subnet, mac_of(there), there.address) + foreign)


@pytest.mark.parametrize("how", ["delete", "set down"])
def test_a_device_that_goes_comes_back_with_all_that_it_had(hosts, sandbox, how):
    here, there = hosts
    mac, wanted = mac_of(here), way(there.subnet, mac_of(there), there.address)
    has(here, wanted)
    before = sandbox.leases()
    here.run("ip", "link", *how.split()[:1], "flannel.1", *how.split()[1:])
    hosts[0].daemon.says("flannel.1 ")

    def probe() -> bool | wait.NotYet:
        return "flannel.1" in here.links() or wait.NotYet(here.links())

    eventually(probe, "flannel.1")
    has(here, wanted)
    assert mac_of(here) == mac
    assert sandbox.leases() == before
    source, destination = (host.bridge() for host in hosts)
    here.reaches(destination, source)


def test_an_address_that_is_taken_from_the_device_comes_back(hosts):
    here, _ = hosts
    here.run("ip", "address", "flush", "dev", "flannel.1")

    def probe() -> bool | wait.NotYet:
        link = here.link("flannel.1")
        assert link is not None
        found = [item["local"] for item in link["addr_info"] if item["family"] == "inet"]
        return found == [f"{here.subnet}.0"] or wait.NotYet(found)

    eventually(probe, "the address of flannel.1", timeout=12)


@pytest.mark.thorough
def test_a_mac_that_somebody_changes_is_announced_and_peers_follow(hosts, sandbox):
    here, there = hosts
    here.run("ip", "link", "set", "flannel.1", "address", "52:08:00:00:00:55")
    has(there, way(here.subnet, "52:08:00:00:00:55", here.address), timeout=6)
    assert '"VtepMAC":"52:08:00:00:00:55"' in sandbox.leases()[f"{here.subnet}.0-24"]
    source, destination = (host.bridge() for host in hosts)
    here.reaches(destination, source)


@pytest.mark.thorough
def test_after_a_lost_lease_the_device_has_the_address_of_the_next_one_alone(hosts, sandbox):
    here, _ = hosts
    stolen = here.subnet
    sandbox.etcdctl("put", f"{PREFIX}/subnets/{stolen}.0-24", stranger(9, "52:08:00:00:00:09"))
    hosts[0].daemon.says("Watching for new subnet leases", times=2)
    assert here.subnet != stolen
    link = here.link("flannel.1")
    assert link is not None
    assert [item["local"] for item in link["addr_info"] if item["family"] == "inet"] == [f"{here.subnet}.0"]


@pytest.mark.parametrize("kind", ["vxlan", "host-gw"])
def test_without_a_lease_nothing_is_sent_to_any_peer(sandbox, kind):
    # Three subnets (flannel leaves the first out) and as many machines: whoever loses his gets no other.
    config = {"Network": "10.2.0.0/22", "SubnetLen": 24, "Backend": {"Type": kind}}
    sandbox.configure(json.dumps(config))
    made = sandbox.host("a"), sandbox.host("b")
    daemon, _ = start(made)
    here, there = made
    stolen = here.subnet
    (third,) = {"10.2.1", "10.2.2", "10.2.3"} - {here.subnet, there.subnet}
    for number, subnet in ((8, third), (9, stolen)):
        value = stranger(number, f"52:08:00:00:00:0{number}").replace("vxlan", kind)
        sandbox.etcdctl("put", f"{PREFIX}/subnets/{subnet}.0-24", value)
    daemon.says("lost: 192.168.50.9 has written its key")
    daemon.says("Failed to acquire subnet: out of subnets")
    assert not [line for line in shown(here, "ip", "route") if "proto 241" in line]
    if kind == "vxlan":
        assert ways(here) == []
        assert "flannel.1" in here.links()
    # As soon as one is free, everybody is reached again.
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{third}.0-24")
    daemon.says("Subnet lease acquired", times=2)

    def probe() -> bool | wait.NotYet:
        lines = [line for line in shown(here, "ip", "route") if "proto 241" in line]
        return len(lines) == 2 or wait.NotYet(lines)

    eventually(probe, "routes to both others")


# What is in the way


@pytest.mark.thorough
def test_a_port_that_another_program_has_is_told_and_is_no_trouble_once_it_is_free(sandbox):
    configure(sandbox)
    host = sandbox.host("a")
    other = host.start("hold_port", "8472")
    other.says("bound")
    daemon = host.flanneld()
    assert daemon.ends(10) == Exit.TAKEN
    assert "flannel.1 needs the UDP port 8472, which is taken" in daemon.log.splitlines()[-1]
    assert "flannel.1" not in host.links()
    assert sandbox.leases() == {}
    other.signal("KILL")
    other.ends(5)
    host.flanneld().says("Watching for new subnet leases")


@pytest.mark.thorough
def test_another_device_with_the_vni_is_told(sandbox):
    configure(sandbox)
    host = sandbox.host("a")
    host.run(
        "ip", "link", "add", "other0", "type", "vxlan", "id", "1", "dstport", "8472",
        "local", host.address, "dev", "eth0",
    )  # fmt: skip
    daemon = host.flanneld()
    assert daemon.ends(10) == Exit.TAKEN
    assert "A VXLAN device with the specified VNI already exists" in daemon.log.splitlines()[-1]


def second(host: Host, vni: int) -> Process:
    """Another flanneld of the machine, whose network is another one."""
    config = {"Network": "10.3.0.0/16", "Backend": {"Type": "vxlan", "VNI": vni}}
    host.sandbox.etcdctl("put", "/other/config", json.dumps(config))
    return host.flanneld("-etcd-prefix=/other", f"-subnet-file=/run/flannel-{host.name}/second.env")


@pytest.mark.thorough
def test_a_second_flanneld_of_the_same_vni_is_refused_and_the_first_is_not_disturbed(hosts):
    here, there = hosts
    here.reaches(f"{there.subnet}.0", f"{here.subnet}.0")
    routes = here.run("ip", "route").text
    first = here.daemon
    refused = second(here, vni=1)
    assert refused.ends(10) == Exit.TAKEN
    assert (
        "flannel.1 carries a network of another flanneld of this machine already (process "
        f"{first.pid}): end that, or give this network its own Backend.VNI"
    ) in refused.log.splitlines()[-1]
    assert here.run("ip", "route").text == routes
    here.reaches(f"{there.subnet}.0", f"{here.subnet}.0")
    first.signal("KILL")
    first.ends(5)
    second(here, vni=1).says("Watching for new subnet leases")


@pytest.mark.thorough
def test_a_second_flanneld_of_another_vni_stands_beside_the_first(hosts):
    here, there = hosts
    second(here, vni=2).says("Watching for new subnet leases")
    assert {"flannel.1", "flannel.2"} <= set(here.links())
    here.reaches(f"{there.subnet}.0", f"{here.subnet}.0")
