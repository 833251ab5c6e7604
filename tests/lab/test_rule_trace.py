"""The kernel's own trace of its rules: what is asked for, what it tells, and what is made of that."""

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from lab.render.trace import trace as rendered
from lab.trace.asked import Asked
from lab.trace.marks import Marks
from lab.trace.model import Point, Reason
from lab.trace.rule_trace import Ended, drop_of, read, scripts
from lab.trace.verdict import doubtful, is_explained
from lab.trace.witness import Kernel, of_rules
from tests.lab.rulesets import ACCEPT, COUNTER, DROP, chain, match, rule, rules_of
from tests.lab.trace_world import ONE, OUTSIDE, TWO, World, world

RECORDED = json.loads((Path(__file__).parent / "kernel_told.json").read_text())["rules"]
"""What Linux 6.18 has told on NFNLGRP_NFTRACE of probes between two pods, of one each, in its order.

`iptables`: a rule of `-m statistic` drops a probe, or the next answer is dropped by none. `carrier`: a rule
drops the vxlan datagram that bears one. `policy`: of a chain, after a rule that has not matched.
"""

MARKS = Marks(0xD39AE1CF, "icmp", 4)
NUMGEN = match({"numgen": {"mode": "random", "mod": 2, "offset": 0}}, 0)


def recorded(name: str, fate: str = "dropped", *, mark: int = 0) -> list[Ended]:
    about = RECORDED[name]
    return list(read(TWO, "", about[fate], Marks(mark or about["mark"], "icmp", 4)))


def test_a_rule_that_drops_a_probe_is_told_with_the_probes_number_and_the_chain_that_led_to_it():
    (ended,) = recorded("iptables")
    assert (ended.kind, ended.number, ended.how) == ("probe", 0, "drops")
    assert (ended.family, ended.table, ended.chain, ended.handle) == ("ip", "filter", "DOCKER-USER", 23)
    assert ended.base == "FORWARD"


def test_of_what_passes_all_rules_nothing_is_told():
    assert RECORDED["iptables"]["passed"]
    assert recorded("iptables", "passed") == []


def test_a_datagram_that_bears_a_probe_is_told_without_a_number():
    (ended,) = recorded("carrier")
    assert (ended.kind, ended.number) == (None, None)
    assert (str(ended.source), str(ended.destination)) == ("192.168.200.53", "192.168.200.52")
    assert (ended.family, ended.table, ended.chain) == ("inet", "odd", "c")


def test_a_chains_policy_is_told_without_a_rule():
    (ended,) = recorded("policy")
    assert (ended.table, ended.chain, ended.base, ended.handle) == ("odd", "c", "c", None)


@pytest.mark.parametrize("name", RECORDED)
def test_what_others_have_the_kernel_follow_is_not_ours(name):
    assert recorded(name, mark=0x8BADF00D) == []


def test_nothing_is_asked_for_where_no_rule_can_drop_anything():
    assert scripts(rules_of([chain("lonely")]), ["eth0"], MARKS) == []


def test_packets_are_marked_before_the_first_rule_sees_them():
    early = chain("raw", "prerouting", prio=-1000)
    (text,) = scripts(rules_of([early, chain("FORWARD", "forward")]), ["eth0"], MARKS)
    assert text.startswith("table inet lab-trace-d39ae1cf {\nflags owner\n")
    for hook in ("prerouting", "output"):
        assert f"type filter hook {hook} priority -1001; policy accept;" in text
    # The mark of an echo request is behind the IP header and that of ICMP, plain and in a vxlan datagram.
    for at in (28, 20 + 8 + 8 + 14 + 28):
        assert f"@nh,{at * 8},32 {{ 0xd39ae1cf }} meta nftrace set 1\n" in text


def test_chains_of_devices_are_followed_at_those_devices():
    at_device = chain("c", "ingress", family="netdev", dev=["eth0", "gone"])
    bridged = chain("b", "forward", family="bridge")
    bridge, netdev = scripts(rules_of([at_device, bridged]), ["lo", "eth0"], MARKS)
    assert bridge.startswith("table bridge ")
    assert 'type filter hook ingress devices = { "eth0" } priority -1;' in netdev
    assert "egress" not in netdev


def dropping(*expressions: object, handle: int = 7) -> World:
    it = world("vxlan")
    here = {"table": "t", "family": "inet"}
    rules = [rule("f", *expressions, **here, handle=handle)]
    it.change(TWO, ruleset=rules_of([chain("f", "forward", **here), chain("o", "output", **here), *rules]))
    return it


def ended(number: int | None, handle: int | None = 7, kind: str | None = "probe", where: str = "f") -> Ended:
    here, there = (ip_address(OUTSIDE[it]) for it in (TWO, ONE))
    source, destination = (there, here) if kind == "probe" else (here, there)
    told = "inet", "t", where, handle, where, "drops"
    return Ended(TWO, "", *told, source, destination, kind, number)  # type: ignore[arg-type]


def kernel(it: World, *said: Ended) -> Kernel:
    spaces = frozenset((name, inside) for name, there in it.machines.items() for inside in there.namespaces)
    return Kernel(tuple(of_rules(said, it.machines, *it.walk())), spaces)


def odd_ones(leg: str, point: Point, number: int) -> bool:
    return (leg, point.machine, point.device, number % 2) == ("there", TWO, "docker0", 1)


def all_of_them(leg: str, point: Point, _: int) -> bool:
    return (leg, point.machine, point.device) == ("there", TWO, "docker0")


def test_what_no_table_explains_is_a_rule_once_the_kernel_says_so():
    it = dropping(NUMGEN, DROP)
    before = it.trace(odd_ones)
    assert [item.fault.reason for item in before.diagnoses] == [Reason.LOST]
    assert doubtful(before)
    assert not is_explained(before)
    found = it.trace(odd_ones, kernel=kernel(it, *(ended(number) for number in range(1, 20, 2))))
    (only,) = found.diagnoses
    assert (only.fault.reason, only.place, only.seen, only.fault.kills) == (Reason.FW_RULE, TWO, True, False)
    assert (
        only.fault.found == "numgen 0 drop in chain inet t f" or "drop in chain inet t f" in only.fault.found
    )
    assert only.fault.fix == f"lab exec {TWO} -- nft delete rule inet t f handle 7"
    assert only.evidence.startswith(
        "10 of 20 packets seen at minion2 flannel.1 in came to minion2 docker0 out"
    )
    assert only.evidence.endswith("; the kernel's own trace: 10 of them by this")
    assert is_explained(found)
    assert found.notes == ()
    text = rendered(Asked("web", "db"), it.start, it.end, found)
    assert "forwarded FW_RULE" in text


def test_what_a_rule_drops_is_told_apart_from_what_is_lost_besides():
    it = dropping(NUMGEN, DROP)
    found = it.trace(all_of_them, kernel=kernel(it, *(ended(number) for number in range(5))))
    assert {item.fault.reason for item in found.diagnoses} == {Reason.FW_RULE, Reason.LOST}
    lost = next(item for item in found.diagnoses if item.fault.reason is Reason.LOST)
    assert "have dropped 5 of them" in lost.fault.because
    assert not is_explained(found)


def test_probes_that_were_not_lost_there_blame_nobody():
    it = dropping(NUMGEN, DROP)
    found = it.trace(odd_ones, kernel=kernel(it, *(ended(number) for number in range(0, 20, 2))))
    assert [item.fault.reason for item in found.diagnoses] == [Reason.LOST]


def test_state_and_the_kernel_agree():
    it = dropping(COUNTER, DROP)
    found = it.trace(all_of_them, kernel=kernel(it, *(ended(number) for number in range(20))))
    (only,) = found.diagnoses
    assert only.evidence.endswith("; so says the kernel's own trace of 20")
    assert found.notes == ()


@pytest.mark.parametrize(
    ("said", "words"),
    [([], "no rule drops one"), ([ended(number, None) for number in range(20)], "it is policy accept")],
    ids=["none", "another"],
)
def test_where_state_and_the_kernel_do_not_agree_that_is_told(said, words):
    it = dropping(COUNTER, DROP)
    found = it.trace(all_of_them, kernel=kernel(it, *said))
    (note,) = found.notes
    assert "by state packets are dropped by drop in chain inet t f; the kernel's own trace: " in note
    assert words in note


def test_a_kernel_that_was_not_asked_does_not_disagree():
    assert dropping(COUNTER, DROP).trace(all_of_them).notes == ()


def carried_back(leg: str, point: Point, _: int) -> bool:
    return (leg, point.machine, point.device, point.namespace) == ("back", TWO, "eth0", "")


def test_what_carries_an_answer_is_of_the_answers_way():
    it = dropping(NUMGEN, ACCEPT)
    here = {"table": "t", "family": "inet"}
    it.change(
        TWO, ruleset=rules_of([chain("o", "output", **here), rule("o", NUMGEN, DROP, **here, handle=7)])
    )
    found = it.trace(carried_back, kernel=kernel(it, *[ended(None, kind=None, where="o")] * 20))
    (only,) = found.diagnoses
    assert (only.leg, only.fault.reason) == ("back", Reason.FW_RULE)
    assert only.fault.expected.startswith("what carries icmp ")
    assert "at the hook output" in only.fault.because


def test_a_rule_that_has_gone_since_is_not_named():
    it = dropping(NUMGEN, DROP)
    assert drop_of(ended(1, handle=8), it.machines[TWO].own.ruleset) is None
    assert kernel(it, ended(1, handle=8)).witnesses == ()


def test_losses_that_other_tables_explain_are_not_looked_into_again():
    it = world("vxlan")
    it.change_link(TWO, "docker0", up=False)
    assert doubtful(it.trace(all_of_them)) is None
