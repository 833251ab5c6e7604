import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bench import document, draw, text
from lab.bench.figures import Failure, Integrity, Metric, Results, Sample, Spread, ratios, spread
from lab.bench.plan import Place
from lab.bench.targets import judge
from lab.bench.ways import Genuine, Settings, ways
from lab.cli.common import as_text

GENUINE = Genuine("/opt/flanneld", "0.5.5")
SETTINGS = Settings(rounds=2)
KINDS = ("vxlan", "udp-plain", "udp-fast", "genuine")
TCP = {"vxlan": (10.0, 8.0), "udp-fast": (9.6, 7.5), "genuine-0.5.5": (0.5, 0.3)}


def samples(values, metric=Metric.TCP1, place=Place.HOST):
    return tuple(
        Sample(number, way, place, metric, value)
        for way, found in values.items()
        for number, value in enumerate(found)
    )


def results(found=None, **members):
    members.setdefault("absent", {"udp-plain": "no TUN device"})
    return Results(ways([GENUINE], KINDS), samples=samples(TCP) if found is None else found, **members)


def test_a_ratio_is_of_two_values_of_one_round():
    assert ratios(samples(TCP), "udp-fast", "vxlan", Place.HOST, Metric.TCP1) == pytest.approx([0.96, 0.9375])


def test_a_round_without_one_of_the_two_gives_no_ratio():
    found = samples({"vxlan": (10.0, 8.0, 9.0), "udp-fast": (5.0, 6.0)})
    assert ratios(found, "udp-fast", "vxlan", Place.HOST, Metric.TCP1) == [0.5, 0.75]
    assert ratios(found, "vxlan", "udp-fast", Place.POD, Metric.TCP1) == []
    assert ratios(samples({"a": (1.0,), "b": (0.0,)}), "a", "b", Place.HOST, Metric.TCP1) == []


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.1, 100)), min_size=1), st.floats(0.1, 10))
def test_a_machine_that_is_faster_in_all_of_a_round_changes_no_ratio(pairs, factor):
    slow = {"a": [first for first, _ in pairs], "b": [second for _, second in pairs]}
    fast = {way: [value * factor for value in found] for way, found in slow.items()}
    both = [ratios(samples(found), "a", "b", Place.HOST, Metric.TCP1) for found in (slow, fast)]
    assert both[0] == pytest.approx(both[1])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_the_median_lies_within_the_spread(values):
    found = spread(values)
    assert found is not None
    assert found.low <= found.median <= found.high
    assert found.count == len(values)
    assert spread([]) is None


def test_the_report_has_medians_with_their_spread_and_ratios_with_theirs():
    lines = text(results(), SETTINGS).splitlines()
    (head,) = [line for line in lines if line.startswith("TCP, 1 STREAM, HOST TO HOST")]
    assert head.endswith("x flannel 0.5.5, udp")
    fast = next(line for line in lines if line.startswith("udp, fast path"))
    assert "8.55 (7.50 - 9.60)" in fast
    assert "0.95 (0.94 - 0.96)" in fast  # of vxlan
    assert "22.10 (19.20 - 25.00)" in fast  # of the genuine one


def test_a_way_that_is_not_here_is_told_with_its_reason():
    assert "udp, packet by packet: not here: no TUN device" in text(results(), SETTINGS).splitlines()
    (absent,) = [item for item in document(results(), SETTINGS)["ways"] if item["absent"]]  # type: ignore[attr-defined]
    assert absent["name"] == "udp-plain"


def test_targets_are_judged_by_the_median_where_both_sides_were_measured():
    judged = {(item.target.metric, item.base): item for item in judge(results())}
    assert judged[Metric.TCP1, "vxlan"].seen.median == pytest.approx(0.94875)
    assert not judged[Metric.TCP1, "vxlan"].met  # at least 0.95 is wanted
    assert judged[Metric.TCP1, "genuine-0.5.5"].met  # at least 20
    assert len(judged) == 2


def test_a_mixed_pair_is_compared_with_the_genuine_flanneld_that_is_in_it():
    both = [GENUINE, Genuine("/opt/other", "0.20.2")]
    values = {"genuine-0.5.5": [1.0], "genuine-0.20.2": [2.0], "to-genuine-0.20.2": [3.0]}
    found = Results(ways(both), absent={}, samples=samples(values))
    assert [(item.way, item.base, item.seen.median) for item in judge(found)] == [
        ("to-genuine-0.20.2", "genuine-0.20.2", 1.5)
    ]


def test_an_outage_is_judged_by_itself():
    found = results(samples({"udp-fast": (0.2, 1.8, 0.3)}, Metric.OUTAGE, Place.POD))
    (judged,) = judge(found)
    assert judged.met
    assert judged.seen == Spread(0.3, 0.2, 1.8, 3)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"failures": (Failure(1, "vxlan", "TCP", "no reply"),)},
            "FAILED in round 2: vxlan, TCP: no",
        ),
        (
            {"integrity": (Integrity("vxlan", Place.POD, 10**9, equal=False),)},
            "SHA-256 of 1000 MB both ways DIFFERS",
        ),
        ({"checksum_errors": {"vxlan": 3}}, "3 wrong checksums"),
    ],
)
def test_a_failure_is_shown_and_makes_the_run_unsound(members, words):
    assert results().sound
    assert not results(**members).sound
    assert words in text(results(**members), SETTINGS)


def test_the_document_has_every_single_value():
    read = json.loads(as_text(document(results(), SETTINGS)))
    (fast,) = [item for item in read["figures"] if item["way"] == "udp-fast"]
    assert fast["values"] == {"1": 9.6, "2": 7.5}
    assert fast["ratios"]["vxlan"]["least"] == 0.9375
    assert (fast["metric"], fast["unit"], fast["place"]) == ("TCP, 1 stream", "Gbit/s", "host to host")


@pytest.mark.slow
def test_the_picture_names_each_way(tmp_path):
    draw(results(), SETTINGS, tmp_path / "one")
    assert "udp, fast path" in (tmp_path / "one.svg").read_text()
    assert (tmp_path / "one.png").stat().st_size > 0


@pytest.mark.slow
def test_a_run_in_which_nothing_could_be_measured_still_has_a_report_and_a_picture(tmp_path):
    nothing = results((), absent={way.name: "no" for way in ways([GENUINE], KINDS)})
    assert "vxlan: not here: no" in text(nothing, SETTINGS)
    draw(nothing, SETTINGS, tmp_path / "none")
    assert (tmp_path / "none.png").stat().st_size > 0
