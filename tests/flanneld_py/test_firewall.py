import logging
from ipaddress import IPv4Network, IPv6Network

import pytest

from flanneld_py import firewall
from flanneld_py.backend.catalog import parse_config
from flanneld_py.errors import Exit, Fatal
from flanneld_py.firewall import Firewall
from flanneld_py.firewall.program import ProgramFailed, ProgramMissing
from flanneld_py.firewall.rules import Verdict, Wanted
from flanneld_py.subnet import Network, Subnet

IPV4 = parse_config('{"Network":"10.2.0.0/16"}')
DUAL = parse_config(
    '{"Network":"10.2.0.0/16","EnableIPv6":true,"IPv6Network":"2001:cafe:42::/56","Backend":{"Type":"vxlan"}}'
)
NFT = parse_config('{"Network":"10.2.0.0/16","EnableNFTables":true}')
SUBNET = Subnet(IPv4Network("10.2.35.0/24"))
BOTH = Subnet(IPv4Network("10.2.35.0/24"), IPv6Network("2001:cafe:42:1::/64"))


class Tool:
    """Stands in for a program of one family: holds rules, and refuses when it is told to."""

    def __init__(self) -> None:
        self.held: Wanted | None = None
        self.refusal: ProgramFailed | None = None
        self.knows_random = True
        self.drops: list[str] | ProgramFailed = []
        self.kept = False

    def ensure(self, wanted: Wanted, *, keep: bool) -> tuple[str, ...]:
        self.answer()
        if wanted.random_fully and wanted.masquerade and not self.knows_random:
            raise ProgramFailed('unknown option "--random-fully"')
        if self.held == wanted:
            return ()
        self.held = wanted
        self.kept = keep
        return ("FLANNEL-FWD",)

    def remove(self) -> tuple[str, ...]:
        self.answer()
        found, self.held = self.held, None
        return ("FLANNEL-FWD",) if found else ()

    def dropping(self) -> list[str]:
        if isinstance(self.drops, ProgramFailed):
            raise self.drops
        return self.drops

    def answer(self) -> None:
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
def tools(monkeypatch):
    """`iptables`, `ip6tables`, `nft` and `nft6`."""
    made = {"iptables": Tool(), "ip6tables": Tool(), "nft": Tool(), "nft6": Tool()}
    monkeypatch.setattr(
        firewall, "Iptables", lambda family, _kind="": made["iptables" if family == 4 else "ip6tables"]
    )
    monkeypatch.setattr(firewall, "Nftables", lambda family: made["nft" if family == 4 else "nft6"])
    return made


def make(*, ip_masq=True, random_fully=True, forward_rules=True) -> Firewall:
    return Firewall(ip_masq=ip_masq, random_fully=random_fully, forward_rules=forward_rules)


def subnets(tool: Tool) -> set[Network]:
    """Those to which everybody's own address is kept: this machine's."""
    assert tool.held is not None
    return {
        rule.destination.network
        for rule in tool.held.masquerade
        if rule.verdict is Verdict.RETURN and rule.source and not rule.source.inside and rule.destination
    }


def test_each_family_of_the_network_has_its_rules(tools):
    make().set(DUAL, BOTH)
    assert subnets(tools["iptables"]) == {BOTH.ipv4}
    assert subnets(tools["ip6tables"]) == {BOTH.ipv6}
    assert tools["nft"].held is None


def test_nftables_are_used_where_the_configuration_says_so(tools):
    make().set(NFT, SUBNET)
    assert subnets(tools["nft"]) == {SUBNET.ipv4}
    assert tools["iptables"].held is None


@pytest.mark.parametrize(("network", "unused"), [(IPV4, "nft"), (NFT, "iptables"), (IPV4, "ip6tables")])
def test_what_an_earlier_run_made_otherwise_is_removed_at_start(tools, network, unused):
    tools[unused].held = Wanted(4)
    make().set(network, SUBNET)
    assert tools[unused].held is None


def test_another_subnet_takes_the_place_of_the_former(tools):
    rules = make()
    rules.set(IPV4, SUBNET)
    moved = Subnet(IPv4Network("10.2.36.0/24"))
    rules.set(IPV4, moved)
    assert subnets(tools["iptables"]) == {moved.ipv4}


def test_networks_of_one_process_have_their_rules_side_by_side(tools):
    both = make()
    both.set(IPV4, SUBNET, "blue")
    other = Subnet(IPv4Network("10.3.7.0/24"))
    both.set(parse_config('{"Network":"10.3.0.0/16"}'), other, "green")
    assert {SUBNET.ipv4, other.ipv4} == subnets(tools["iptables"])
    assert both.sync() == 0


def test_what_others_changed_is_put_right_and_told(tools, caplog):
    rules = make()
    rules.set(IPV4, SUBNET)
    assert rules.sync() == 0
    tools["iptables"].held = None
    assert rules.sync() == 1
    assert "Repaired the packet filter rules: FLANNEL-FWD" in caplog.text
    assert rules.sync() == 0


def test_masquerading_that_cannot_be_had_is_fatal_and_says_what_to_do(tools):
    tools["iptables"].refusal = ProgramMissing("iptables-save")
    with pytest.raises(Fatal) as caught:
        make().set(IPV4, SUBNET)
    assert str(caught.value) == (
        "Failed to setup IP Masquerade: iptables-save was not found; "
        "install the package iptables, or leave -ip-masq out"
    )
    assert caught.value.code == Exit.KERNEL
    tools["nft"].refusal = ProgramMissing("nft")
    with pytest.raises(Fatal, match="install the package nftables"):
        make().set(NFT, SUBNET)


def test_forwarding_that_cannot_be_had_is_told_once_until_it_can(tools, caplog):
    caplog.set_level(logging.INFO)
    rules = make(ip_masq=False)
    tools["iptables"].refusal = ProgramFailed("iptables-restore: Permission denied")
    rules.set(IPV4, SUBNET)
    for _ in range(5):
        assert rules.sync() == 0
    assert caplog.text.count("Permission denied") == 1
    tools["iptables"].refusal = None
    assert rules.sync() == 1
    assert "in place again" in caplog.text
    assert tools["iptables"].held is not None


def test_a_failure_once_masquerading_was_had_ends_nothing(tools, caplog):
    rules = make()
    rules.set(IPV4, SUBNET)
    tools["iptables"].refusal = ProgramFailed(
        "Another app is currently holding the xtables lock", for_now=True
    )
    rules.set(IPV4, Subnet(IPv4Network("10.2.36.0/24")))
    assert rules.sync() == 0
    assert caplog.text.count("xtables lock") == 1
    tools["iptables"].refusal = None
    assert rules.sync() == 1
    assert not tools["iptables"].kept, "rules of the former subnet may be there"


def test_without_any_rule_wanted_a_missing_program_is_no_matter(tools, caplog):
    for tool in tools.values():
        tool.refusal = ProgramMissing("iptables-save")
    rules = make(ip_masq=False, forward_rules=False)
    rules.set(IPV4, SUBNET)
    assert rules.sync() == 0
    assert caplog.text == ""


def test_where_source_ports_cannot_be_random_masquerading_does_without(tools, caplog):
    tools["iptables"].knows_random = False
    rules = make()
    rules.set(IPV4, SUBNET)
    assert tools["iptables"].held is not None
    assert not tools["iptables"].held.random_fully
    assert 'unknown option "--random-fully"' in caplog.text
    caplog.clear()
    assert rules.sync() == 0
    assert caplog.text == ""


def test_a_lock_that_is_held_does_not_make_source_ports_less_random(tools):
    tools["iptables"].refusal = ProgramFailed("xtables lock", for_now=True)
    rules = make()
    with pytest.raises(Fatal):
        rules.set(IPV4, SUBNET)
    tools["iptables"].refusal = None
    rules.set(IPV4, SUBNET)
    assert tools["iptables"].held is not None
    assert tools["iptables"].held.random_fully


def test_in_nftables_a_policy_that_drops_forwarded_packets_is_told_once(tools, caplog):
    rules = make()
    tools["nft"].drops = ["ip filter FORWARD"]
    rules.set(NFT, SUBNET)
    rules.sync()
    assert caplog.text.count("The policy of nft's chain ip filter FORWARD is drop") == 1


def test_a_program_that_cannot_tell_the_policies_is_no_matter(tools, caplog):
    tools["nft"].drops = ProgramFailed("nft: Error: JSON support not compiled-in")
    make().set(NFT, SUBNET)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_everything_is_removed_whichever_program_made_it(tools):
    tools["iptables"].held = tools["nft6"].held = Wanted(4)
    tools["ip6tables"].refusal = ProgramMissing("ip6tables-save")
    tools["nft"].refusal = ProgramFailed("nft: Unable to initialize Netlink socket: Protocol not supported")
    assert list(firewall.remove_all()) == ["FLANNEL-FWD", "FLANNEL-FWD"]


def test_a_program_that_may_not_remove_stops_the_others_not(tools):
    tools["iptables"].refusal = ProgramFailed("iptables-save: Permission denied")
    tools["nft6"].held = Wanted(6)
    removing = firewall.remove_all()
    assert next(removing) == "FLANNEL-FWD"
    with pytest.raises(OSError, match="Permission denied"):
        next(removing)
