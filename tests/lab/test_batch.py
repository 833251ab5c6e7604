"""The program that runs a machine's questions, here on this machine."""

import json
import signal
import subprocess
import sys

from lab import wait
from lab.inside import program
from lab.observe import inside
from lab.observe.inside import batch


def test_every_command_ends_with_its_own_streams_and_status():
    ends = batch.run(
        {"one": ["sh", "-c", "echo out; echo err >&2; exit 3"], "two": ["printf", "%s", "a b"]}, 60
    )
    assert ends == {"one": ("out\n", "err\n", 3, ""), "two": ("a b", "", 0, "")}


def test_a_program_that_is_not_there_is_told_as_a_shell_tells_it():
    assert batch.run({"one": ["no-such-program"]}, 60) == {
        "one": ("", "no-such-program: No such file or directory\n", 127, "")
    }


def test_a_command_that_a_signal_has_ended_is_told_as_a_shell_tells_it():
    # timeout(1) kills itself with the signal that it was told to send, and a shell adds 128 to its number.
    ends = batch.run({"late": ["timeout", "--signal=KILL", "0.1", "sleep", "1000"]}, 60)
    assert ends["late"][2] == 128 + signal.SIGKILL


def test_a_command_that_heeds_nothing_is_killed_with_its_children_and_keeps_what_it_had_said():
    deaf = 'trap "" TERM; printf "%s\n" $$ said; (trap "" TERM; exec sleep 1000) & sleep 1000'
    ends = batch.run({"deaf": ["sh", "-c", deaf], "quick": ["true"]}, 0.5)
    out, _, status, _ = ends["deaf"]
    group, said = out.split()
    assert (said, status, ends["quick"]) == ("said", 124, ("", "", 0, ""))

    def gone() -> bool | wait.NotYet:
        listed = subprocess.run(
            ["ps", "-o", "stat=", "-g", group], capture_output=True, text=True, check=False
        )
        alive = [state for state in listed.stdout.split() if not state.startswith("Z")]
        return wait.NotYet(alive) if alive else True

    wait.until(gone, what="the kernel to end those that were killed", timeout=60)


def test_a_command_with_a_deadline_of_its_own_is_killed_at_that_and_the_others_go_on():
    asked = {"own": {"argv": ["sleep", "1000"], "within": 0.2}, "other": ["sleep", "0.5"]}
    ends = batch.run(asked, 60)
    assert (ends["own"][2:], ends["other"][2:]) == ((124, "within"), (0, ""))
    assert batch.run(asked, 0.1)["own"][2:] == (124, "seconds")  # that of all came before


def test_a_command_that_no_program_can_be_given_is_told_and_hides_no_other():
    ends = batch.run({"nul": ["printf", "a\0b"], "well": ["true"]}, 60)
    assert ends["nul"][2] == 127
    assert "null byte" in ends["nul"][1]
    assert ends["well"][2] == 0


def test_much_output_of_one_command_does_not_wait_for_another_one():
    ends = batch.run({"slow": ["sleep", "1000"], "much": ["head", "-c", "1000000", "/dev/zero"]}, 0.5)
    assert (len(ends["much"][0]), ends["much"][2], ends["slow"][2]) == (1000000, 0, 124)


def test_as_a_program_it_reads_and_writes_json():
    argv = [sys.executable, *program(inside, "batch", "60")[1:]]
    done = subprocess.run(argv, input='{"one": ["echo", "é"]}', capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"one": ["é\n", "", 0, ""]}
