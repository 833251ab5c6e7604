"""The packet filter's rules in a real kernel: by iptables of both kinds and by nft, and with real daemons."""

import json
from dataclasses import dataclass

import pytest

from flanneld_py.errors import Exit
from lab import wait
from tests.kernel.harness import Host, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel

NETWORKS = {4: ("10.2.0.0/16", "10.2.35.0/24"), 6: ("2001:cafe:42::/56", "2001:cafe:42:1::/64")}
FOREIGN = {4: "198.51.100.0/24", 6: "2001:db8::/32"}


@dataclass(frozen=True)
class Table:
    """One family's packet filter of a machine, and the program that it is examined with."""

    host: Host
    kind: str
    family: int

    def call(self, what: str) -> str:
        words = [self.kind, str(self.family), *NETWORKS[self.family], what]
        return self.host.run_python("firewall_call", *words).text.strip()

    @property
    def program(self) -> str:
        return f"{'iptables' if self.family == 4 else 'ip6tables'}{self.kind}"

    def iptables(self, *words: str) -> str:
        return self.host.run(self.program, *words).text

    def saved(self) -> list[str]:
        lines = self.host.run(f"{self.program}-save").text.splitlines()
        return [line.partition(" [")[0] for line in lines if not line.startswith("#")]


@pytest.fixture
def host(sandbox: Sandbox) -> Host:
    return sandbox.host("a")


@pytest.fixture(params=["-nft", "-legacy"])
def kind(request) -> str:
    return str(request.param)


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def family(request) -> int:
    return int(request.param)


@pytest.fixture
def table(host, kind, family) -> Table:
    """Tables as Docker leaves them: the policy of FORWARD is DROP, and there are others' rules."""
    made = Table(host, kind, family)
    made.iptables("-P", "FORWARD", "DROP")
    made.iptables(
        "-A", "FORWARD", "-s", FOREIGN[family], "-m", "comment", "--comment", "it's ours", "-j", "ACCEPT"
    )
    made.iptables("-t", "nat", "-A", "POSTROUTING", "-s", FOREIGN[family], "-j", "MASQUERADE")
    return made


# iptables


def test_iptables_has_the_rules_of_flannel_behind_those_of_others(table):
    net, pod = NETWORKS[table.family]
    multicast = "224.0.0.0/4" if table.family == 4 else "ff00::/8"
    assert table.call("start") == f"{table.program} FLANNEL-POSTRTG, {table.program} FLANNEL-FWD"
    masq, forward = (f'-m comment --comment "flanneld {word}"' for word in ("masq", "forward"))
    assert table.iptables("-t", "nat", "-S", "POSTROUTING").splitlines()[2:] == [
        f"-A POSTROUTING {masq} -j FLANNEL-POSTRTG"
    ]
    assert table.iptables("-t", "nat", "-S", "FLANNEL-POSTRTG").splitlines() == [
        "-N FLANNEL-POSTRTG",
        f"-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 {masq} -j RETURN",
        f"-A FLANNEL-POSTRTG -s {pod} -d {net} {masq} -j RETURN",
        f"-A FLANNEL-POSTRTG -s {net} -d {pod} {masq} -j RETURN",
        f"-A FLANNEL-POSTRTG ! -s {net} -d {pod} {masq} -j RETURN",
        f"-A FLANNEL-POSTRTG -s {net} ! -d {multicast} {masq} -j MASQUERADE --random-fully",
        f"-A FLANNEL-POSTRTG ! -s {net} -d {net} {masq} -j MASQUERADE --random-fully",
    ]
    assert table.iptables("-S", "FORWARD").splitlines()[2:] == [f"-A FORWARD {forward} -j FLANNEL-FWD"]
    assert table.iptables("-S", "FLANNEL-FWD").splitlines() == [
        "-N FLANNEL-FWD",
        f"-A FLANNEL-FWD -s {net} {forward} -j ACCEPT",
        f"-A FLANNEL-FWD -d {net} {forward} -j ACCEPT",
    ]


def test_iptables_finds_nothing_to_do_twice(table):
    table.call("start")
    assert (table.call("start"), table.call("repair")) == ("", "")


@pytest.mark.parametrize(
    ("damage", "repaired"),
    [
        (["-F", "FLANNEL-FWD"], "FLANNEL-FWD"),
        (["-F", "FORWARD"], "FLANNEL-FWD"),
        (["-t", "nat", "-F"], "FLANNEL-POSTRTG"),
        (["-t", "nat", "-D", "FLANNEL-POSTRTG", "3"], "FLANNEL-POSTRTG"),
        (["-A", "FORWARD", "-j", "FLANNEL-FWD"], "FLANNEL-FWD"),
    ],
    ids=["a flushed chain", "deleted hooks", "a flushed table", "a deleted rule", "a second hook"],
)
def test_iptables_repairs(table, damage, repaired):
    table.call("start")
    before = table.saved()
    table.iptables(*damage)
    damaged = [line for line in table.saved() if "FLANNEL" not in line and "flanneld" not in line]
    assert table.call("repair") == f"{table.program} {repaired}"
    ours = [line for line in before if "FLANNEL" in line]
    assert sorted(line for line in table.saved() if "FLANNEL" in line) == sorted(ours)
    # Whatever happened to others' rules is not undone, and nothing more happens to them.
    assert [line for line in table.saved() if "FLANNEL" not in line] == damaged
    assert table.call("repair") == ""


def test_iptables_keeps_to_the_side_of_a_rule_that_refuses_everything(table):
    # Of CentOS 7's iptables-services; ip6tables calls the ICMP message otherwise.
    table.iptables("-A", "FORWARD", "-j", "REJECT")
    table.call("start")
    rules = table.iptables("-S", "FORWARD").splitlines()
    assert "FLANNEL-FWD" in rules[-2]
    assert rules[-1].startswith("-A FORWARD -j REJECT")
    assert table.call("repair") == ""


@pytest.mark.thorough
def test_iptables_is_left_as_it_was_before(table):
    before = table.saved()
    table.call("start")
    assert table.saved() != before
    assert table.call("remove") == f"{table.program} FLANNEL-POSTRTG, {table.program} FLANNEL-FWD"
    assert table.saved() == before
    assert table.call("remove") == ""


def test_iptables_loses_what_flannel_0_5_5_left(host, kind):
    table = Table(host, kind, 4)
    table.iptables("-t", "nat", "-A", "POSTROUTING", "-s", FOREIGN[4], "-j", "MASQUERADE")
    before = table.saved()
    # Its own words, of its -ip-masq.
    nat = ["-t", "nat"]
    table.iptables(*nat, "-N", "FLANNEL")
    table.iptables(*nat, "-A", "FLANNEL", "-d", "10.2.0.0/16", "-j", "ACCEPT")
    table.iptables(*nat, "-A", "FLANNEL", "!", "-d", "224.0.0.0/4", "-j", "MASQUERADE")
    table.iptables(*nat, "-A", "POSTROUTING", "-s", "10.2.0.0/16", "-j", "FLANNEL")
    table.iptables(
        *nat, "-A", "POSTROUTING", "!", "-s", "10.2.0.0/16", "-d", "10.2.0.0/16", "-j", "MASQUERADE"
    )
    assert "iptables-nft FLANNEL" in table.call("remove").replace("legacy", "nft")
    assert table.saved() == before


# nft


@pytest.fixture
def ip(family) -> str:
    return "ip" if family == 4 else "ip6"


def nft(host: Host, *words: str) -> str:
    return host.run("nft", *words).text


def test_nft_has_the_rules_of_flannel_but_the_last_can_be_reached(host, family, ip):
    net, pod = NETWORKS[family]
    name = f"flannel-ipv{family}"
    multicast = "224.0.0.0/4" if family == 4 else "ff00::/8"
    table = Table(host, "nft", family)
    assert table.call("start") == f"nft {name} forward, nft {name} postrtg"
    assert nft(host, "list", "chain", ip, name, "postrtg").splitlines() == [
        f"table {ip} {name} {{",
        "\tchain postrtg {",
        '\t\tcomment "chain to manage traffic masquerading by flannel"',
        "\t\ttype nat hook postrouting priority srcnat; policy accept;",
        "\t\tmeta mark 0x00004000 return",
        f"\t\t{ip} saddr {pod} {ip} daddr {net} return",
        f"\t\t{ip} saddr {net} {ip} daddr {pod} return",
        f"\t\t{ip} saddr != {net} {ip} daddr {pod} return",
        f"\t\t{ip} saddr {net} {ip} daddr != {multicast} masquerade fully-random",
        f"\t\t{ip} saddr != {net} {ip} daddr {net} masquerade fully-random",
        "\t}",
        "}",
    ]
    assert nft(host, "list", "chain", ip, name, "forward").splitlines() == [
        f"table {ip} {name} {{",
        "\tchain forward {",
        '\t\tcomment "chain to accept flannel traffic"',
        "\t\ttype filter hook forward priority filter; policy accept;",
        f"\t\t{ip} saddr {net} accept",
        f"\t\t{ip} daddr {net} accept",
        "\t}",
        "}",
    ]
    assert (table.call("start"), table.call("repair")) == ("", "")


@pytest.mark.parametrize(
    "damage",
    [
        "delete table {}",
        "flush chain {} forward",
        "flush chain {0} postrtg ; delete chain {0} postrtg",
        "add chain {} forward {{ policy drop ; }}",
    ],
    ids=["a deleted table", "a flushed chain", "a deleted chain", "another policy"],
)
def test_nft_repairs(host, family, ip, damage):
    table = Table(host, "nft", family)
    table.call("start")
    name = f"{ip} flannel-ipv{family}"
    before = nft(host, "list", "table", *name.split())
    nft(host, damage.format(name))
    assert "nft flannel" in table.call("repair")
    assert sorted(nft(host, "list", "table", *name.split()).splitlines()) == sorted(before.splitlines())
    assert table.call("repair") == ""


@pytest.mark.thorough
def test_nft_keeps_others_rules_when_it_repairs_and_is_left_as_it_was_before(host, family, ip):
    table = Table(host, "nft", family)
    forward = "{ type filter hook forward priority 1 ; }"
    nft(host, f"add table {ip} foreign ; add chain {ip} foreign forward {forward}")
    before = nft(host, "list", "ruleset")
    table.call("start")
    name = f"{ip} flannel-ipv{family}"
    others = ", ".join(str(port) for port in range(1000, 1099, 2))
    nft(host, f"insert rule {name} forward tcp dport {{ {others} }} drop")
    assert table.call("repair") == ""
    nft(host, f"flush chain {name} postrtg")
    table.call("repair")
    assert "tcp dport { 1000, 1002" in nft(host, "list", "table", *name.split())
    assert table.call("remove") == f"nft flannel-ipv{family}"
    assert nft(host, "list", "ruleset") == before
    assert table.call("remove") == ""


# Daemons


def config(*, nftables: bool) -> str:
    return json.dumps({"Network": "10.2.0.0/16", "EnableNFTables": nftables, "Backend": {"Type": "host-gw"}})


@pytest.fixture(params=[False, True], ids=["iptables", "nftables"])
def world(request, sandbox: Sandbox) -> tuple[Host, Host, Host]:
    """Two machines whose daemons masquerade, and one without flannel."""
    sandbox.configure(config(nftables=request.param))
    hosts = sandbox.host("a"), sandbox.host("b")
    for daemon in [host.flanneld("-ip-masq") for host in hosts]:
        daemon.says("Subnet added: 10.2.")
    return *hosts, sandbox.host("outside")


def test_pods_see_each_others_own_addresses(world):
    here, there = (host.pod() for host in world[:2])
    here.reaches(there.address, here.address)
    assert there.sees(here) == here.address
    assert here.sees(there) == there.address


def test_a_pod_is_seen_from_outside_with_its_machines_address(world):
    machine, _, outside = world
    assert outside.sees(machine.pod()) == machine.address


@pytest.mark.thorough
def test_a_pod_sees_the_own_address_of_a_client_that_comes_by_its_machine(world):
    machine, _, outside = world
    pod = machine.pod()
    outside.run("ip", "route", "add", f"{machine.subnet}.0/24", "via", machine.address)
    assert pod.sees(outside) == outside.address


@pytest.mark.thorough
def test_what_enters_the_overlay_by_another_machine_can_be_answered_by_that(world):
    machine, other, outside = world
    pod = other.pod()
    outside.run("ip", "route", "add", f"{other.subnet}.0/24", "via", machine.address)
    assert pod.sees(outside) == machine.address


@pytest.fixture
def daemon(sandbox: Sandbox, host: Host) -> Process:
    sandbox.configure(config(nftables=False))
    started = host.flanneld("-ip-masq", "-iptables-resync=1")
    started.says("Watching for new subnet leases")
    return started


def comes_back(host: Host, listing: list[str], before: str) -> None:
    def probe() -> bool | wait.NotYet:
        found = host.run(*listing, check=False)
        return found.text == before or wait.NotYet(found.output)

    eventually(probe, "the rules to be as they were")


@pytest.mark.thorough
def test_rules_that_somebody_deletes_come_back(host, daemon):
    listings = [["iptables", "-S"], ["iptables", "-t", "nat", "-S"]]
    before = [host.run(*listing).text for listing in listings]
    host.run("iptables", "-F")
    host.run("iptables", "-X", "FLANNEL-FWD", check=False)  # in use again, if the daemon was quicker
    host.run("iptables", "-t", "nat", "-F")
    for listing, text in zip(listings, before, strict=True):
        comes_back(host, listing, text)
    daemon.says("Repaired the packet filter rules: iptables FLANNEL-")


@pytest.mark.thorough
def test_a_table_that_somebody_deletes_comes_back(host, sandbox):
    sandbox.configure(config(nftables=True))
    host.flanneld("-ip-masq", "-iptables-resync=1").says("Watching for new subnet leases")
    listing = ["nft", "list", "table", "ip", "flannel-ipv4"]
    before = host.run(*listing).text
    host.run("nft", "delete", "table", "ip", "flannel-ipv4")
    comes_back(host, listing, before)


def test_pods_reach_each_other_past_a_rule_that_rejects_everything(sandbox):
    sandbox.configure(config(nftables=False))
    hosts = sandbox.host("a"), sandbox.host("b")
    for host in hosts:
        host.run("iptables", "-P", "FORWARD", "DROP")
        host.run("iptables", "-A", "FORWARD", "-j", "REJECT", "--reject-with", "icmp-host-prohibited")
    for started in [host.flanneld() for host in hosts]:
        started.says("Subnet added: 10.2.")
    here, there = (host.pod() for host in hosts)
    here.reaches(there.address, here.address)


def test_rules_stay_when_the_daemon_ends_and_the_other_programs_go_when_it_starts(host, daemon, sandbox):
    daemon.signal("TERM")
    assert daemon.ends() == 0
    assert "FLANNEL-FWD" in host.run("iptables-save").text
    sandbox.configure(config(nftables=True))
    second = host.flanneld("-ip-masq")
    second.says("Watching for new subnet leases")
    second.says(
        "Removed the packet filter rules of an earlier run: iptables FLANNEL-POSTRTG, iptables FLANNEL-FWD"
    )
    assert "FLANNEL" not in host.run("iptables-save").text
    second.signal("TERM")
    second.ends()
    assert "postrtg" in nft(host, "list", "ruleset")
    sandbox.configure(config(nftables=False))
    host.flanneld().says("Watching for new subnet leases")
    assert "postrtg" not in nft(host, "list", "ruleset")
    assert "FLANNEL-POSTRTG" not in host.run("iptables-save").text


@pytest.mark.thorough
def test_cleanup_finds_the_rules_of_every_program(host):
    tables = [Table(host, kind, family) for kind in ("-nft", "-legacy", "nft") for family in NETWORKS]
    for table in tables:
        table.call("start")
    done = host.run("/usr/bin/flanneld", "cleanup")
    removed = [f"{name}{kind} FLANNEL-FWD" for name in ("iptables", "ip6tables") for kind in ("", "-legacy")]
    for name in [*removed, "nft flannel-ipv4", "nft flannel-ipv6"]:
        assert f"removed {name}\n" in done.text
    assert [table.call("remove") for table in tables] == [""] * len(tables)


def test_forward_rules_can_be_left_to_others(host, sandbox):
    sandbox.configure(config(nftables=False))
    host.flanneld("-iptables-forward-rules=false").says("Watching for new subnet leases")
    assert "FLANNEL" not in host.run("iptables-save").text


def test_in_nftables_docker_policy_is_told(host, sandbox):
    host.run("iptables", "-P", "FORWARD", "DROP")
    sandbox.configure(config(nftables=True))
    host.flanneld().says("The policy of nft's chain ip filter FORWARD is drop")


def test_without_iptables_masquerading_is_refused_and_forwarding_is_told(host, sandbox):
    sandbox.configure(config(nftables=False))
    with sandbox.without("iptables-save", "ip6tables-save"):
        refused = host.flanneld("-ip-masq")
        assert refused.ends(10) == Exit.KERNEL
        assert (
            "Failed to setup IP Masquerade: iptables-save was not found; "
            "install the package iptables, or leave -ip-masq out"
        ) in refused.log
        assert "Traceback" not in refused.log
        told = host.flanneld("-iptables-resync=1")
        told.says("Watching for new subnet leases")
        missing = "iptables-save was not found; install the package iptables"
        told.says(f"The packet filter rules cannot be installed: {missing}")
