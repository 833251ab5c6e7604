"""How the clocks of several engines are compared for `lab soak`."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.inside import program
from lab.soak import inside
from lab.soak.clock import Clock, Sample, clocks


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
    found = clocks({"home": [sample(100.0)], "far": [sample(-40.0)]})
    assert found["home"].shift == 0
    # At one moment the home's clock says 5100 and the other one's 4960.
    assert 4960 + found["far"].shift == pytest.approx(5100)


def test_engines_on_one_machine_have_one_clock_however_slow_one_of_them_answers():
    slow = sample(0.0, there=1.0, back=0.5, boot="f2a1")
    found = clocks({"home": [sample(0.0, boot="f2a1")], "far": [slow]})
    assert found["far"].shift == 0


def test_the_quickest_of_several_answers_counts():
    slow = {"there": 3.0, "back": 0.1}
    home = [sample(70.0, **slow, boot="a"), sample(7.0, boot="a")]
    found = clocks({"home": home, "far": [sample(7.0, boot="b"), sample(70.0, **slow, boot="b")]})
    assert found["far"].shift == pytest.approx(0, abs=1e-6)


def test_an_answer_is_off_by_no_more_than_half_of_the_time_that_it_took():
    late = sample(0.0, there=0.0, back=0.09, boot="b")
    found = clocks({"home": [sample(0.0, there=0.0, back=0.0, boot="a")], "far": [late]})
    assert abs(found["far"].shift) <= late.within


def test_clocks_that_cannot_be_compared_closely_are_refused_with_what_was_seen():
    with pytest.raises(LabError) as caught:
        clocks({"home": [sample(0.0, boot="a")], "far": [sample(0.0, there=0.2, back=0.2, boot="b")]})
    assert caught.value.message == (
        "how far the clocks of the engines home and far are apart is known to 201 ms, and 100 ms are needed "
        "to judge by them: machines there answer after 2 and 400 ms at best"
    )


def test_one_engine_alone_needs_no_comparing_however_slow_it_answers():
    assert clocks({"": [sample(0.0, there=1.0, back=1.0)]})[""].shift == 0


def test_a_time_of_day_here_is_found_by_the_time_of_day_there():
    (found,) = clocks({"": [sample(0.0, wall=-30.0)]}).values()
    assert found.wall(1000.0) == pytest.approx(970.0)
    assert Clock().wall(1000.0) == 1000.0


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
