"""Impairments on a real kernel: each has the effect that it is named for."""

import json
import math
from collections import Counter
from collections.abc import Iterator

import pytest

from lab.faults.impairment import Rule, parse_impairment, parse_match
from lab.faults.impairment.pipeline import Interface
from lab.faults.impairment.plan import OTHERS, Stage, Way, plan
from tests.kernel.counters import wrong_checksums
from tests.kernel.dual_stack import address6
from tests.kernel.fast_path import gets_all
from tests.kernel.harness import Host, Sandbox
from tests.kernel.impairments import (
    DIRECTIONS,
    Machine,
    ends,
    flow,
    is_delayed,
    machine_and_peer,
    within,
)

pytestmark = pytest.mark.kernel


@pytest.fixture
def pair(sandbox: Sandbox) -> Iterator[tuple[Machine, Host]]:
    with machine_and_peer(sandbox) as made:
        yield made


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_delay_of_100_ms_is_one_in_its_direction_alone(pair, way, direction, family):
    here, there = pair
    source, sink = ends(here, there, direction)
    of = (lambda host: host.address) if family == 4 else address6
    with here.impaired("delay 100ms", of(there), direction=direction, way=way):
        assert is_delayed(source, sink, 0.1, addresses=(of(source), of(sink)))
        assert is_delayed(sink, source, 0, addresses=(of(sink), of(source)))


@pytest.mark.thorough
def test_jitter_spreads_what_is_delayed_and_packets_overtake_each_other(pair, way):
    here, there = pair
    with here.impaired("delay 40ms jitter 20ms", there.address, way=way):
        came = flow(here.host, there, 400)
    assert sorted(came.numbers) == list(range(400))
    assert min(came.took) >= 0.02
    early = sum(took < 0.03 for took in came.took)
    assert early <= 100 + 5 * math.sqrt(400 * 0.25 * 0.75)  # a quarter, and no more: a busy machine is late
    assert early > 0
    assert sum(took > 0.05 for took in came.took) > 0
    assert came.overtaken > 0


@pytest.mark.thorough
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_loss_of_5_percent_is_one(pair, way, direction):
    here, there = pair
    source, sink = ends(here, there, direction)
    with here.impaired("loss 5%", there.address, direction=direction, way=way):
        came = flow(source, sink, 2000, 0.0005)
        back = flow(sink, source, 200)
    assert within(came.lost, 2000, 0.05)
    assert (came.doubled, came.overtaken) == (0, 0)
    assert back.is_whole()


@pytest.mark.thorough
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_tenth_arrives_twice_where_that_was_asked_for(pair, way, direction):
    here, there = pair
    with here.impaired("duplicate 10%", there.address, direction=direction, way=way):
        came = flow(*ends(here, there, direction), 2000, 0.0005)
    assert came.lost == 0
    assert within(came.doubled, 2000, 0.1)


@pytest.mark.thorough
def test_a_quarter_overtakes_where_that_was_asked_for(pair, way):
    here, there = pair
    with here.impaired("delay 100ms reorder 25%", there.address, way=way):
        came = flow(here.host, there, 1000, 0.001)
    assert sorted(came.numbers) == list(range(1000))
    assert within(sum(took < 0.09 for took in came.took), 1000, 0.25)
    assert came.overtaken > 100


@pytest.mark.thorough
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_corrupted_is_seen_by_checksums_and_reaches_nobody(pair, way, direction):
    here, there = pair
    source, sink = ends(here, there, direction)
    with here.impaired("corrupt 20%", there.address, direction=direction, way=way):
        came = flow(source, sink, 1000, 0.001, size=1200)
    assert -1 not in came.numbers
    assert within(came.lost, 1000, 0.2)
    assert any("Udp: InCsumErrors" in line for line in wrong_checksums(sink))


@pytest.mark.thorough
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("what", ["loss 20%", "duplicate 20%", "corrupt 20%", "delay 100ms reorder 20%"])
def test_chance_meets_each_packet_of_a_super_packet_and_not_all_of_them(pair, way, what, direction):
    here, there = pair
    with here.impaired(what, there.address, direction=direction, way=way):
        came = flow(*ends(here, there, direction), 1000, 0.001, size=1200, together=10)
    befallen = came.befallen(0.09 if "reorder" in what else 0)
    assert within(len(befallen), 1000, 0.2)
    of_super_packet = Counter(number // 10 for number in befallen)
    some = sum(0 < number < 10 for number in of_super_packet.values())
    assert within(some, 100, 1 - 0.8**10 - 0.2**10)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_rate_is_one(pair, direction):
    here, there = pair
    with here.impaired("rate 8mbit", there.address, direction=direction):
        came = flow(*ends(here, there, direction), 3000, 0.0007, size=1400)  # 16 Mbit/s are offered
    # After the burst that tbf lets pass: what is sent while its queue is full.
    later = [at for at in came.at if at >= came.at[0] + 0.2]
    frame = 1400 + 8 + 20 + 14
    assert (len(later) - 1) * frame * 8 / (later[-1] - later[0]) == pytest.approx(8e6, rel=0.15)
    assert came.overtaken == 0


@pytest.mark.thorough
def test_a_rate_and_a_delay_go_together(pair, way):
    here, there = pair
    with here.impaired("rate 8mbit delay 50ms", there.address, direction="both", way=way):
        assert is_delayed(here.host, there, 0.05)
        assert is_delayed(there, here.host, 0.05)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("direction", "out", "back"), [("out", 0, 100), ("in", 100, 0), ("both", 0, 0)], ids=["out", "in", "both"]
)
def test_a_cut_is_one_way_where_that_was_asked_for(pair, direction, out, back, family):
    here, there = pair
    of = (lambda host: host.address) if family == 4 else address6
    mine, yours = of(here.host), of(there)
    with here.impaired("cut", yours, direction=direction, protocol="udp"):
        assert len(flow(here.host, there, 100, addresses=(mine, yours)).numbers) == out
        assert len(flow(there, here.host, 100, addresses=(yours, mine)).numbers) == back
    assert flow(here.host, there, addresses=(mine, yours)).is_whole()


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["cut", "loss 100%", "rate 8kbit", "rate 8kbit delay 5ms"])
def test_a_sender_does_not_hear_of_what_is_lost(pair, way, what):
    here, there = pair
    with here.impaired(what, there.address, way=way):
        ping = here.host.run("ping", "-c30", "-i0.01", "-s1400", "-W1", there.address, check=False)
    assert "100% packet loss" in ping.output or what.startswith("rate")
    assert " 0% packet loss" not in ping.output
    assert "No buffer space" not in ping.output


def test_tcp_keeps_its_content_and_its_super_packets_under_a_delay(pair, way):
    here, there = pair
    here.impair("x", "delay 5ms", there.address, direction="both", way=way)
    gets_all(here.host, there, there.address, 32)
    (link,) = json.loads(here.host.run("ip", "-json", "-stats", "link", "show", "dev", f"imp40o-{way}").text)
    sent = link["stats64"]["tx"]
    assert sent["bytes"] / sent["packets"] > 3000, "more than two full frames at once"
    here.stop("x")


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["loss 5%", "corrupt 2%", "duplicate 5%", "delay 2ms reorder 20%"])
def test_tcp_keeps_its_content_whatever_befalls_its_packets(pair, way, what):
    here, there = pair
    with here.impaired(what, there.address, direction="both", way=way):
        gets_all(here.host, there, there.address, 2)
        gets_all(there, here.host, here.host.address, 2)


def test_tc_understands_what_it_is_told_of_netem_whether_or_not_the_kernel_has_it(pair):
    here, _ = pair
    what = parse_impairment("delay 100ms jitter 10ms loss 5% duplicate 2% reorder 25% corrupt 0.1%")
    stage = Stage(Rule("x", what, parse_match(direction="out")), OTHERS[0], Way.NETEM)
    pairs = plan([stage], {"eth0": Interface("eth0", 2, "")}).pairs
    (made,) = [pair for pair in pairs if pair.qdisc]
    asked = here.host.run("tc", "qdisc", "add", "dev", "lo", "root", *made.qdisc.split(), check=False)
    assert asked.exit_code == 0 or "Specified qdisc kind is unknown" in asked.output, asked.output


def test_whichever_way_the_kernel_has_it_is_told(sandbox, pair):
    here, there = pair
    with here.impaired("loss 5%", there.address):
        told = here.standing("rule").way
    probe = sandbox.run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "1%", check=False)
    assert told == ("netem" if probe.exit_code == 0 else "line")
    if probe.exit_code == 0:
        sandbox.run("tc", "qdisc", "delete", "dev", "lo", "root")
