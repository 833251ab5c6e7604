"""What is told of impairments, and how they end: exactly, whatever has become of them."""

import json
import shlex
from collections.abc import Iterator

import pytest

from lab.errors import LabError, Unfit
from lab.faults import impairment
from lab.faults.impairment import Impairment, Rule, Status, parse_impairment
from lab.faults.impairment.inside import PROGRAM
from tests.kernel.harness import Host, Sandbox
from tests.kernel.impairments import (
    PORT,
    Machine,
    flow,
    is_delayed,
    machine_and_peer,
    state,
)

pytestmark = pytest.mark.kernel


@pytest.fixture
def pair(sandbox: Sandbox) -> Iterator[tuple[Machine, Host]]:
    with machine_and_peer(sandbox) as made:
        yield made


def all_arrive(here: Machine, there: Host, number: int, interval: float) -> bool:
    """Whether so many datagrams do, of which some are under way when a rule, x, is stopped."""
    sending = here.host.spawn(
        "/usr/bin/python3", "-I", "/usr/local/lib/test-programs/flow_between.py",
        here.name, here.host.address, there.name, there.address, str(PORT), str(number), str(interval), "200",
    )  # fmt: skip
    sending.says("[0,")
    here.stop("x")
    assert sending.ends(10) == 0
    return len(sending.log.splitlines()) == number


def test_a_stop_lets_what_is_under_way_arrive(pair, way):
    here, there = pair
    before = state(here.host)
    here.impair("x", "delay 800ms", there.address, way=way)
    assert all_arrive(here, there, 50, 0.02)
    assert state(here.host) == before


@pytest.mark.thorough
def test_a_stop_lets_what_waits_for_its_turn_arrive(pair):
    here, there = pair
    before = state(here.host)
    here.impair("x", "rate 8kbit", there.address)
    # Of 242 bytes each: twelve leave at once, those behind them wait for a quarter of a second each.
    assert all_arrive(here, there, 20, 0)
    assert state(here.host) == before


@pytest.mark.thorough
def test_a_delay_line_that_dies_is_told_and_stop_removes_all(pair):
    here, there = pair
    before = state(here.host)
    here.impair("x", "delay 50ms", there.address, direction="both", way="line")
    lines = here.host.sandbox.run("pgrep", "-f", "overlay-lab/impair").text.split()
    assert len(lines) == 2
    here.host.run("kill", "-STOP", *lines)
    assert len([words for words in here.standing("x").missing if "is stopped" in words]) == 2
    here.host.run("kill", "-KILL", *lines)
    assert not flow(here.host, there, 20).numbers
    missing = impairment.status(here).rules[0].missing
    assert len([words for words in missing if "has ended: what matches is lost" in words]) == 2
    # Another one can be started meanwhile, and both go.
    here.impair("y", "cut", protocol="tcp", direction="both")
    here.stop("x", "y")
    assert state(here.host) == before
    assert flow(here.host, there).is_whole()


@pytest.mark.thorough
def test_what_others_have_removed_is_told_and_stop_removes_the_rest(pair, way):
    here, there = pair
    before = state(here.host)
    here.impair("x", "delay 50ms", there.address, direction="both", way=way)
    here.host.run("tc", "qdisc", "delete", "dev", "eth0", "clsact")
    here.host.run("ip", "link", "set", "dev", "eth0", "xdpgeneric", "off")
    missing = here.standing("x").missing
    assert "eth0 has lost its filters at egress" in missing
    assert any("eth0 has lost its XDP program" in words for words in missing)
    assert is_delayed(here.host, there, 0)
    here.stop("x")
    assert state(here.host) == before


@pytest.mark.thorough
def test_what_belongs_to_no_rule_is_told_and_clear_removes_it(pair, way):
    here, there = pair
    before = state(here.host)
    here.impair("x", "delay 50ms", there.address, direction="both", way=way)
    here.host.run("sh", "-ec", "rm -r /run/overlay-lab/impairments")
    status = impairment.status(here)
    assert not status.rules
    assert "filters on eth0 at egress" in status.strays
    assert f"the device imp40o-{way}" in status.strays
    impairment.clear(here)
    assert impairment.status(here).strays == ()
    assert state(here.host) == before


@pytest.mark.thorough
def test_a_qdisc_that_was_there_before_stays(pair):
    here, there = pair
    here.host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    with here.impaired("cut", there.address, direction="both"):
        assert not flow(here.host, there, 20).numbers
    assert [line for line in state(here.host) if line.startswith("qdisc clsact")]


CLSACT = "tc qdisc add dev eth0 clsact"
THEIRS = "tc filter add dev eth0 egress pref 9 protocol ip u32 match u32 0 0 flowid 1:1"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (["tc qdisc add dev eth0 ingress"], "eth0 has a qdisc ingress that is not ours"),
        (
            [CLSACT, THEIRS],
            "eth0 has 1 filters at egress that are not ours",
        ),
    ],
    ids=["ingress", "egress"],
)
def test_what_is_not_ours_is_not_touched_and_the_reason_is_told(pair, made, words):
    here, there = pair
    for line in made:
        here.host.run(*line.split())
    before = state(here.host)
    with pytest.raises(LabError, match=words):
        here.impair("x", "delay 5ms", there.address, direction="both")
    assert impairment.status(here).rules == ()
    assert state(here.host) == before
    assert flow(here.host, there).is_whole()


@pytest.mark.thorough
def test_a_start_that_fails_leaves_nothing(pair):
    here, there = pair
    here.impair("x", "delay 30ms", protocol="udp", direction="in")
    before = state(here.host)
    here.host.run("mv", "/dev/net/tun", "/dev/net/away")
    try:
        with pytest.raises(LabError, match="cannot open /dev/net/tun") as failed:
            here.impair("y", "rate 1mbit delay 5ms", there.address, direction="both", way="line")
    finally:
        here.host.run("mv", "/dev/net/away", "/dev/net/tun")
    assert "tun driver" in failed.value.hint
    assert state(here.host) == before
    assert is_delayed(there, here.host, 0.03)


def beginning(identifier: str, what: str, way: str) -> str:
    """A shell's command that starts a rule."""
    document = json.dumps(Rule(identifier, parse_impairment(what)).as_document())
    return f"echo {shlex.quote(document)} | {shlex.join(PROGRAM.command('start', way))}"


@pytest.mark.thorough
def test_two_that_start_at_the_same_time_do_not_disturb_each_other(pair, way):
    here, there = pair
    before = state(here.host)
    one, other = beginning("x", "delay 20ms", way), beginning("y", "rate 50mbit", way)
    here.host.run("sh", "-ec", f"{one} & {other}; wait")
    status = impairment.status(here)
    assert {item.rule.identifier for item in status.rules if item.in_force} == {"x", "y"}
    assert is_delayed(here.host, there, 0.02)
    here.stop("x", "y")
    assert state(here.host) == before


@pytest.mark.parametrize("wait", range(4, 40, 5))
def test_what_a_start_has_left_that_was_killed_at_any_moment_is_cleared(pair, way, wait):
    here, there = pair
    before = state(here.host)
    started = beginning("x", "rate 1mbit delay 5ms", way)
    started = started.replace("| ", f"| timeout --signal=KILL 0.{wait:02} ")
    here.host.run("sh", "-c", started, check=False)
    status = impairment.status(here)
    for item in status.rules:
        assert item.rule.identifier == "x"
    impairment.clear(here)
    assert impairment.status(here) == Status((), ())
    assert state(here.host) == before
    assert flow(here.host, there).is_whole()


@pytest.mark.thorough
def test_a_rule_is_started_once_and_only_on_a_device_that_is_there(pair):
    here, _ = pair
    here.impair("x", "cut", protocol="icmp")
    with pytest.raises(Unfit, match="'x' was started already"):
        impairment.start(here, Rule("x", Impairment(loss=0.5)))
    with pytest.raises(Unfit, match="there is no device eth7") as refused:
        impairment.start(here, Rule("y", Impairment(loss=0.5), device="eth7"))
    assert "eth0" in refused.value.hint
    with pytest.raises(Unfit, match="there is no impairment 'z'") as refused:
        impairment.stop(here, "z")
    assert refused.value.hint == "what there is: x"
    here.stop("x")


@pytest.mark.thorough
def test_a_device_whose_address_has_changed_is_told(pair):
    here, there = pair
    before = state(here.host)
    here.impair("x", "delay 30ms", there.address, direction="in")
    (link,) = json.loads(here.host.run("ip", "-json", "link", "show", "dev", "eth0").text)
    here.host.run("ip", "link", "set", "dev", "eth0", "address", "02:00:00:00:00:99")
    assert any("what comes in is lost" in words for words in here.standing("x").missing)
    here.host.run("ip", "link", "set", "dev", "eth0", "address", link["address"])
    assert here.standing("x").in_force
    here.stop("x")
    assert state(here.host) == before
