"""How the clocks of several engines are compared, and what becomes of that for a capture."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.capture.times import Correction, corrections
from lab.capture.wire import HEAD, Reader
from lab.clocks import inside, one_of_each
from lab.clocks.compare import Clock, Sample, compare, quickest, require_close
from lab.errors import LabError
from lab.inside import program


def sample(
    ahead: float, *, there: float = 0.001, back: float = 0.001, wall: float = 0.0, boot: str = ""
) -> Sample:
    """An answer of a machine whose clock is so far ahead, after so long a way there and back."""
    asked, our_wall = 5000.0, 1_800_000_000.0
    return Sample(
        asked=asked,
        answered=asked + there + back,
        wall=our_wall,
        boot=boot or f"booted {ahead:g} s ago",
        monotonic_there=asked + there + ahead,
        wall_there=our_wall + there + wall,
    )


def test_the_clocks_of_two_machines_are_one_after_the_shift():
    found = compare({"home": sample(100.0, wall=7.0), "far": sample(-40.0, wall=-5.0)})
    assert (found["home"].shift, found["home"].wall_shift, found["home"].within) == (0, 0, 0)
    # At one moment the home's clock says 5100 and the other one's 4960.
    assert 4960 + found["far"].shift == pytest.approx(5100)
    # And of the time of day the other one's is 12 s behind.
    assert found["far"].wall_shift == pytest.approx(12.0)


def test_engines_on_one_machine_have_one_clock_however_slow_one_of_them_answers():
    slow = sample(0.0, there=1.0, back=0.5, boot="f2a1")
    far = compare({"home": sample(0.0, boot="f2a1"), "far": slow})["far"]
    assert (far.shift, far.wall_shift, far.within) == (0, 0, 0)


def test_the_quickest_of_several_answers_counts():
    quick = sample(7.0, boot="a")
    assert quickest([sample(70.0, there=3.0, back=0.1, boot="a"), quick]) is quick


def test_an_answer_is_off_by_no_more_than_half_of_the_time_that_it_took():
    home, late = sample(0.0, there=0.0, back=0.02, boot="a"), sample(0.0, there=0.0, back=0.09, boot="b")
    far = compare({"home": home, "far": late})["far"]
    assert far.within == pytest.approx(0.01 + 0.045)
    assert abs(far.shift) <= far.within
    assert abs(far.wall_shift) <= far.within


def test_clocks_that_cannot_be_compared_closely_are_refused_with_what_was_seen():
    with pytest.raises(LabError) as caught:
        require_close({"home": sample(0.0, boot="a"), "far": sample(0.0, there=0.2, back=0.2, boot="b")})
    assert caught.value.message == (
        "how far the clocks of the engines home and far are apart is known to 201 ms, and 100 ms are needed "
        "to judge by them: machines there answer after 2 and 400 ms at best"
    )


def test_one_engine_alone_needs_no_comparing_however_slow_it_answers():
    alone = {"": sample(0.0, there=1.0, back=1.0)}
    require_close(alone)
    assert compare(alone)[""].shift == 0


def test_a_time_of_day_here_is_found_by_the_time_of_day_there():
    (found,) = compare({"": sample(0.0, wall=-30.0)}).values()
    assert found.wall(1000.0) == pytest.approx(970.0)
    assert Clock().wall(1000.0) == 1000.0


def test_what_a_capture_adds_to_the_times_of_an_engine_is_told_with_how_well_it_is_known():
    found = corrections({"home": sample(0.0), "slow": sample(1.0, wall=-0.25), "fast": sample(2.0, wall=0.5)})
    assert found.of("home") == Correction()
    assert found.of("slow").added == pytest.approx(250_000_000, abs=1000)  # floats of today have 0.2 µs
    assert found.of("fast").added == pytest.approx(-500_000_000, abs=1000)
    assert [found.of(engine).description for engine in ("slow", "fast")] == [
        "times are those of the engine slow + 250.000 ms ± 2.000 ms: by the clock of home",
        "times are those of the engine fast - 500.000 ms ± 2.000 ms: by the clock of home",
    ]
    assert found.told == [
        "the clock of the engine slow is 250.000 ms behind that of home, ± 2.000 ms: its machines' times are "
        "corrected by that",
        "the clock of the engine fast is 500.000 ms ahead of that of home, ± 2.000 ms: its machines' times "
        "are corrected by that",
    ]


def test_of_engines_on_one_kernel_a_capture_says_nothing():
    found = corrections({"home": sample(0.0, boot="a"), "far": sample(0.0, there=0.3, boot="a")})
    assert [found.of(engine) for engine in ("home", "far")] == [Correction(), Correction()]
    assert found.told == []


def test_an_engine_whose_clock_cannot_be_compared_keeps_its_times_and_that_is_told():
    found = corrections({"home": "it hangs", "far": sample(5.0, wall=9.0), "third": sample(0.0, wall=8.0)})
    words = "the clock of the engine home could not be compared with that of others"
    assert found.of("home") == Correction(0, words)
    assert found.of("far") == Correction()
    assert found.of("third").added == pytest.approx(1_000_000_000, abs=1000)
    assert found.told[0] == f"{words}, and its machines' times are not corrected: it hangs"


def test_packets_of_two_engines_are_in_order_by_one_clock():
    sent = 1_800_000_000_000_000_000  # by the clock of home; that of far is 3 ms ahead
    far = Reader(corrections({"home": sample(0.0), "far": sample(9.0, wall=0.003)}).of("far").added)
    told = HEAD.pack(b"p", 2, 0, 0, 60, sent + 3_200_000) + HEAD.pack(b"t", 0, 0, 0, 0, 0)
    received, nothing_yet = far.read(told)
    assert sent < received.at == pytest.approx(sent + 200_000, abs=1000)
    assert nothing_yet.at == 0


def test_one_machine_of_each_engine_is_asked_the_homes_first():
    class Lab:
        fleet = SimpleNamespace(name_of_home="their")

        def engine_of(self, name: str) -> str:
            return {"a": "far", "b": "their", "c": "far", "d": "their"}[name]

    assert list(one_of_each(cast(Any, Lab()), "abcd").items()) == [("their", "d"), ("far", "c")]


def test_a_machine_tells_its_clocks_as_often_as_it_is_asked():
    process = subprocess.Popen(
        [sys.executable, *program(inside, "clock")[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    before = time.monotonic(), time.time()
    out, _ = process.communicate("now\nnow\n\n", timeout=60)
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == 2
    assert all(monotonic > before[0] and wall > before[1] for _, monotonic, wall in told)
    assert {boot for boot, *_ in told} == {
        Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    }
