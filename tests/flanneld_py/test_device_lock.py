"""Who holds a device, told by one process to another."""

import os
import secrets
import subprocess
import sys

import pytest

from flanneld_py.kernel.device_lock import DeviceLock, LockedByAnother
from lab import wait

HOLD = """
import os, sys
from flanneld_py.kernel.device_lock import DeviceLock
if sys.argv[2:]:
    os.setuid(int(sys.argv[2]))
hold = DeviceLock(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def name() -> str:
    return f"test-{secrets.token_hex(8)}"


def another(name: str, *uid: str) -> "subprocess.Popen[str]":
    """A process that holds it until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, name, *uid], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_device_that_another_process_holds_is_told_with_its_number_until_that_ends(name):
    with another(name) as process:
        for _ in range(3):
            with pytest.raises(LockedByAnother) as caught:
                DeviceLock(name)
            assert caught.value.pid == process.pid
        process.kill()
    hold = DeviceLock(name)
    assert hold.made
    hold.close()


def test_each_device_is_held_for_itself(name):
    first, second = DeviceLock(name), DeviceLock(f"{name}-v6")
    with pytest.raises(LockedByAnother):
        DeviceLock(name)
    first.close()
    DeviceLock(name).close()
    second.close()


def test_those_who_ask_are_let_go_so_that_there_is_room_for_more(name):
    hold = DeviceLock(name)
    for _ in range(200):
        with pytest.raises(LockedByAnother):
            DeviceLock(name)
        hold.look()
    hold.close()
    hold.look()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_any_user_may_take_the_name_and_is_not_believed(name):
    with another(name, "65534") as process:
        squatted = DeviceLock(name)
        assert not squatted.made
        squatted.look()
        squatted.close()
        process.kill()
    hold = wait.until(
        lambda: found if (found := DeviceLock(name)).made else wait.NotYet("squatted"), what="it", timeout=5
    )
    hold.close()
