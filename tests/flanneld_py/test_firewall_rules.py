"""The rules' text. Expected are flannel 0.28's own (its e2e/rules.go), except where the test says so."""

from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flanneld_py.firewall import iptables_text, nft_text
from flanneld_py.firewall.rules import Overlay, Purpose, Wanted, wanted
from tests.flanneld_py.fake_iptables import FakeIptables

OVERLAY = Overlay(ip_network("10.42.0.0/16"), ip_network("10.42.1.0/24"))
OVERLAY6 = Overlay(ip_network("2001:cafe:42::/56"), ip_network("2001:cafe:42:1::/64"))
MASQUERADE = Purpose.MASQUERADE
FORWARD = Purpose.FORWARD


def make(
    overlay: Overlay = OVERLAY, *more: Overlay, ip_masq=True, random_fully=True, forward_rules=True
) -> Wanted:
    return wanted(
        overlay.network.version,
        (overlay, *more),
        ip_masq=ip_masq,
        random_fully=random_fully,
        forward_rules=forward_rules,
    )


# What they are


@pytest.mark.parametrize(
    ("overlay", "multicast"), [(OVERLAY, "224.0.0.0/4"), (OVERLAY6, "ff00::/8")], ids=["IPv4", "IPv6"]
)
def test_iptables_rules_are_flannels(overlay, multicast):
    net, pod = overlay.network, overlay.subnet
    assert iptables_text.rules(make(overlay), MASQUERADE) == [
        '-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN',
        f'-A FLANNEL-POSTRTG -s {pod} -d {net} -m comment --comment "flanneld masq" -j RETURN',
        f'-A FLANNEL-POSTRTG -s {net} -d {pod} -m comment --comment "flanneld masq" -j RETURN',
        f'-A FLANNEL-POSTRTG ! -s {net} -d {pod} -m comment --comment "flanneld masq" -j RETURN',
        f"-A FLANNEL-POSTRTG -s {net} ! -d {multicast} "
        '-m comment --comment "flanneld masq" -j MASQUERADE --random-fully',
        f"-A FLANNEL-POSTRTG ! -s {net} -d {net} "
        '-m comment --comment "flanneld masq" -j MASQUERADE --random-fully',
    ]
    assert iptables_text.rules(make(overlay), FORWARD) == [
        f'-A FLANNEL-FWD -s {net} -m comment --comment "flanneld forward" -j ACCEPT',
        f'-A FLANNEL-FWD -d {net} -m comment --comment "flanneld forward" -j ACCEPT',
    ]


@pytest.mark.parametrize(
    ("overlay", "ip", "multicast"),
    [(OVERLAY, "ip", "224.0.0.0/4"), (OVERLAY6, "ip6", "ff00::/8")],
    ids=["IPv4", "IPv6"],
)
def test_nft_rules_are_flannels_but_the_last_can_be_reached(overlay, ip, multicast):
    net, pod = overlay.network, overlay.subnet
    assert nft_text.chain(make(overlay), MASQUERADE) == [
        "meta mark 0x00004000 return",
        f"{ip} saddr {pod} {ip} daddr {net} return",
        f"{ip} saddr {net} {ip} daddr {pod} return",
        # flannel: saddr != pod, daddr net, as nothing that the last rule is for gets past.
        f"{ip} saddr != {net} {ip} daddr {pod} return",
        f"{ip} saddr {net} {ip} daddr != {multicast} masquerade fully-random",
        f"{ip} saddr != {net} {ip} daddr {net} masquerade fully-random",
    ]
    assert nft_text.chain(make(overlay), FORWARD) == [f"{ip} saddr {net} accept", f"{ip} daddr {net} accept"]


def test_source_ports_are_random_only_where_that_is_wanted():
    rules = make(random_fully=False)
    assert "random" not in " ".join(iptables_text.rules(rules, MASQUERADE))
    assert "random" not in " ".join(nft_text.chain(rules, MASQUERADE))


def test_several_networks_share_the_chains():
    rules = make(OVERLAY, Overlay(ip_network("10.43.0.0/16"), ip_network("10.43.7.0/24")))
    assert nft_text.chain(rules, FORWARD) == [
        "ip saddr 10.42.0.0/16 accept",
        "ip daddr 10.42.0.0/16 accept",
        "ip saddr 10.43.0.0/16 accept",
        "ip daddr 10.43.0.0/16 accept",
    ]
    assert [rule for rule in nft_text.chain(rules, MASQUERADE) if "mark" in rule] == [
        "meta mark 0x00004000 return"
    ]


# What has to be done with iptables

DOCKERS = [
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
]
HOOK = '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD'
MASQ_HOOK = '-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG'


@pytest.fixture
def kernel():
    made = FakeIptables()
    made.put("filter", "DOCKER-USER", [])
    made.put("filter", "FORWARD", DOCKERS)
    made.put("nat", "POSTROUTING", ["-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"])
    return made


def ensure(kernel, rules, *, keep=False):
    changes = iptables_text.ensure(rules, kernel.saved(), keep=keep)
    kernel.restore(changes.text)
    return changes.what


def test_chains_are_made_and_reached_behind_what_was_there(kernel):
    assert ensure(kernel, make()) == ("FLANNEL-POSTRTG", "FLANNEL-FWD")
    assert kernel.rules("filter", "FORWARD") == [*DOCKERS, HOOK]
    assert kernel.rules("filter", "FLANNEL-FWD") == iptables_text.rules(make(), FORWARD)
    assert kernel.rules("nat", "POSTROUTING")[1:] == [MASQ_HOOK]
    assert kernel.rules("nat", "FLANNEL-POSTRTG") == iptables_text.rules(make(), MASQUERADE)


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_there_is_left_alone(kernel, keep):
    ensure(kernel, make())
    assert ensure(kernel, make(), keep=keep) == ()


def test_a_chain_is_reached_before_a_rule_that_refuses_everything(kernel):
    # The last rule of FORWARD in CentOS 7's iptables-services.
    wall = "-A FORWARD -j REJECT --reject-with icmp-host-prohibited"
    kernel.put("filter", "FORWARD", [*DOCKERS, wall])
    ensure(kernel, make())
    assert kernel.rules("filter", "FORWARD") == [*DOCKERS, HOOK, wall]
    # Somebody has put it behind that since.
    kernel.put("filter", "FORWARD", [HOOK, *DOCKERS, wall, HOOK])
    assert ensure(kernel, make(), keep=True) == ("FLANNEL-FWD",)
    assert kernel.rules("filter", "FORWARD") == [*DOCKERS, HOOK, wall]
    assert ensure(kernel, make(), keep=True) == ()


def test_a_rule_that_refuses_some_packets_is_no_wall(kernel):
    kernel.put("filter", "FORWARD", ["-A FORWARD -m conntrack --ctstate INVALID -j DROP"])
    ensure(kernel, make())
    assert kernel.rules("filter", "FORWARD")[1:] == [HOOK]


def test_a_flushed_chain_a_deleted_hook_and_a_doubled_one_are_put_right(kernel):
    ensure(kernel, make())
    kernel.put("filter", "FLANNEL-FWD", [])
    kernel.put("nat", "POSTROUTING", [])
    assert ensure(kernel, make(), keep=True) == ("FLANNEL-POSTRTG", "FLANNEL-FWD")
    kernel.put("nat", "POSTROUTING", [MASQ_HOOK, MASQ_HOOK])
    assert ensure(kernel, make(), keep=True) == ("FLANNEL-POSTRTG",)
    assert kernel.rules("nat", "POSTROUTING") == [MASQ_HOOK]


def test_rules_in_the_wrong_order_are_put_right(kernel):
    ensure(kernel, make())
    rules = kernel.rules("nat", "FLANNEL-POSTRTG")
    kernel.put("nat", "FLANNEL-POSTRTG", rules[::-1])
    ensure(kernel, make(), keep=True)
    assert kernel.rules("nat", "FLANNEL-POSTRTG") == rules


def test_two_daemons_of_one_machine_do_not_undo_each_others_rules_for_ever(kernel):
    one = make(OVERLAY, ip_masq=False)
    other = make(Overlay(ip_network("10.43.0.0/16"), ip_network("10.43.7.0/24")), ip_masq=False)
    ensure(kernel, one)
    ensure(kernel, other)
    assert ensure(kernel, one, keep=True) == ("FLANNEL-FWD",)
    assert ensure(kernel, other, keep=True) == ()
    assert ensure(kernel, one, keep=True) == ()


def test_another_subnet_leaves_nothing_of_the_former(kernel):
    ensure(kernel, make())
    moved = make(Overlay(OVERLAY.network, ip_network("10.42.2.0/24")))
    assert ensure(kernel, moved) == ("FLANNEL-POSTRTG",)
    assert kernel.rules("nat", "FLANNEL-POSTRTG") == iptables_text.rules(moved, MASQUERADE)


def test_without_ip_masq_an_earlier_runs_masquerading_goes(kernel):
    ensure(kernel, make())
    assert ensure(kernel, make(ip_masq=False)) == ("FLANNEL-POSTRTG",)
    assert "FLANNEL" not in "".join(kernel.rules("nat", "POSTROUTING"))


def test_removing_leaves_everything_as_it_was(kernel):
    before = kernel.saved()
    ensure(kernel, make())
    kernel.restore(iptables_text.remove(kernel.saved()).text)
    assert kernel.saved() == before
    assert iptables_text.remove(before).text == ""


def test_flannel_0_5_5s_rules_go_and_those_like_them_stay(kernel):
    foreign = [
        "-A POSTROUTING ! -s 10.99.0.0/16 -d 10.99.0.0/16 -j MASQUERADE",
        "-A POSTROUTING -s 10.42.0.0/16 -j MASQUERADE",
    ]
    former = [
        "-A POSTROUTING -s 10.42.0.0/16 -j FLANNEL",
        "-A POSTROUTING ! -s 10.42.0.0/16 -d 10.42.0.0/16 -j MASQUERADE",
    ]
    kernel.put(
        "nat",
        "FLANNEL",
        ["-A FLANNEL -d 10.42.0.0/16 -j ACCEPT", "-A FLANNEL ! -d 224.0.0.0/4 -j MASQUERADE"],
    )
    kernel.put("nat", "POSTROUTING", [foreign[0], *former, foreign[1]])
    assert ensure(kernel, make(forward_rules=False)) == ("FLANNEL-POSTRTG", "FLANNEL")
    assert kernel.rules("nat", "POSTROUTING") == [*foreign, MASQ_HOOK]
    assert ":FLANNEL " not in kernel.saved()


LEADING = ["-A FORWARD -j FLANNEL-FWD", "-A FORWARD -p tcp -g FLANNEL-FWD", HOOK]
WALLS = ["-A FORWARD -j DROP", "-A FORWARD -j REJECT --reject-with icmp-host-prohibited"]
LINES = st.sampled_from([*DOCKERS, *LEADING, *WALLS])
OURS = iptables_text.rules(make(), FORWARD)
INSIDE = st.sampled_from([*OURS, "-A FLANNEL-FWD -s 198.51.100.7/32 -j DROP"])


def is_within(some: list[str], all_: list[str]) -> bool:
    """Whether they are there in this order, whatever is between."""
    rest = iter(all_)
    return all(rule in rest for rule in some)


@example(forward=[HOOK], inside=[OURS[0], *OURS], keep=True)
@given(
    forward=st.lists(LINES, max_size=8), inside=st.none() | st.lists(INSIDE, max_size=4), keep=st.booleans()
)
def test_whatever_was_there_the_rules_are_there_once_and_others_stay_as_they_were(forward, inside, keep):
    kernel = FakeIptables()
    kernel.put("filter", "DOCKER-USER", [])
    kernel.put("filter", "FLANNEL-FWD", inside or [])
    kernel.put("filter", "FORWARD", forward)
    ensure(kernel, make(), keep=keep)
    found = kernel.rules("filter", "FORWARD")
    foreign = [rule for rule in forward if "FLANNEL" not in rule]
    assert [rule for rule in found if rule != HOOK] == foreign
    assert found.count(HOOK) == 1
    walls = [number for number, rule in enumerate(found) if rule in WALLS]
    assert found.index(HOOK) < min(walls, default=len(found))
    ours = [rule for rule in kernel.rules("filter", "FLANNEL-FWD") if rule in OURS]
    # What others wrote there, our own rules once more for instance, stays where all is kept.
    assert ours == OURS or (keep and is_within(OURS, ours))
    assert ensure(kernel, make(), keep=keep) == ()
    kernel.restore(iptables_text.remove(kernel.saved()).text)
    assert kernel.rules("filter", "FORWARD") == foreign
    assert "FLANNEL" not in kernel.saved()


@given(st.text(alphabet="*:-A \n\"'FLANE0123/.", max_size=200))
@example("*0\n: ")
def test_whatever_iptables_save_prints_is_no_crash(saved):
    iptables_text.ensure(make(), saved, keep=True)
    iptables_text.remove(saved)


# What has to be done with nft

LISTED = """\
table ip flannel-ipv4 {
	comment "rules for flannel-ipv4"

	chain forward {
		comment "chain to accept flannel traffic"
		type filter hook forward priority filter; policy accept;
		ip saddr 10.42.0.0/16 accept
		ip daddr 10.42.0.0/16 accept
	}
}
"""  # fmt: skip
ONLY_FORWARD = make(ip_masq=False)


def test_one_transaction_makes_table_and_chains():
    changes = nft_text.ensure(make(), "", keep=False)
    assert changes.text.splitlines()[:4] == [
        'add table ip flannel-ipv4 { comment "rules for flannel-ipv4" ; }',
        "add chain ip flannel-ipv4 forward { type filter hook forward priority filter ; "
        'policy accept ; comment "chain to accept flannel traffic" ; }',
        "add rule ip flannel-ipv4 forward ip saddr 10.42.0.0/16 accept",
        "add rule ip flannel-ipv4 forward ip daddr 10.42.0.0/16 accept",
    ]
    assert changes.what == ("flannel-ipv4 forward", "flannel-ipv4 postrtg")


@pytest.mark.parametrize("keep", [True, False])
def test_a_table_that_is_as_wanted_is_left_alone(keep):
    assert nft_text.ensure(ONLY_FORWARD, LISTED, keep=keep).text == ""


def test_others_rules_in_our_chain_stay_until_the_next_start():
    theirs = LISTED.replace(
        "\t\tip daddr", "\t\tip saddr { 192.0.2.1,\n\t\t\t     192.0.2.2 } drop\n\t\tip daddr"
    )
    assert nft_text.ensure(ONLY_FORWARD, theirs, keep=True).text == ""
    broken = theirs.replace("\t\tip saddr 10.42.0.0/16 accept\n", "")
    assert nft_text.ensure(ONLY_FORWARD, broken, keep=True).text.splitlines()[-3:] == [
        "add rule ip flannel-ipv4 forward ip saddr 10.42.0.0/16 accept",
        "add rule ip flannel-ipv4 forward ip daddr 10.42.0.0/16 accept",
        "add rule ip flannel-ipv4 forward ip saddr { 192.0.2.1, 192.0.2.2 } drop",
    ]
    assert "192.0.2" not in nft_text.ensure(ONLY_FORWARD, theirs, keep=False).text


def test_a_chain_of_another_kind_is_made_anew():
    other = LISTED.replace("policy accept", "policy drop")
    assert nft_text.ensure(ONLY_FORWARD, other, keep=True).text.splitlines()[1:3] == [
        "flush chain ip flannel-ipv4 forward",
        "delete chain ip flannel-ipv4 forward",
    ]


def test_a_chain_that_is_not_wanted_goes_at_start_only():
    only_masquerade = make(forward_rules=False)
    assert "delete chain ip flannel-ipv4 forward" in nft_text.ensure(only_masquerade, LISTED, keep=False).text
    assert "forward" not in nft_text.ensure(only_masquerade, LISTED, keep=True).text


def test_where_nothing_is_wanted_the_table_goes():
    nothing = Wanted(4)
    assert nft_text.ensure(nothing, LISTED, keep=False).text == "delete table ip flannel-ipv4\n"
    assert nft_text.ensure(nothing, "", keep=False).text == ""


@given(st.text(alphabet="table chain{}\n\t;ip", max_size=200))
def test_whatever_nft_prints_is_no_crash(listed):
    nft_text.ensure(make(), listed, keep=True)
    nft_text.ensure(make(), listed, keep=False)
