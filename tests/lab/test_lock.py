import subprocess
import sys

import pytest

from lab.lock import Busy, held, is_held
from tests.processes import running

HOLDER = """
import sys
from lab.lock import held
with held("an-engine", sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_only_one_holder_at_a_time():
    with held("an-engine", "one-holder"):
        assert is_held("an-engine", "one-holder")
        with pytest.raises(Busy, match="one-holder"), held("an-engine", "one-holder"):
            pass
    assert not is_held("an-engine", "one-holder")


def test_the_same_name_on_another_engine_is_another_lock():
    with held("an-engine", "two-engines"):
        assert not is_held("another-engine", "two-engines")


def test_a_killed_holder_frees_its_lock():
    with running(
        [sys.executable, "-c", HOLDER, "killed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held("an-engine", "killed")
        holder.kill()
        holder.wait()
        assert not is_held("an-engine", "killed")
