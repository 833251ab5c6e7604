import os
import tempfile

import pytest

from lab import programs
from lab.errors import NoAnswer


def test_a_program_gives_its_streams_and_its_status_and_has_no_input():
    done = programs.run(["sh", "-c", "cat; echo out; echo err >&2; exit 3"], within=60)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)


def test_a_programs_output_can_go_to_files():
    with tempfile.TemporaryFile() as out:
        assert not programs.run(["printf", "%s", "é"], within=60, stdout=out).stdout
        out.seek(0)
        assert out.read() == "é".encode()


def test_a_program_has_the_environment_that_is_given():
    assert (
        programs.run(["sh", "-c", "echo $ME"], within=60, environment={**os.environ, "ME": "x"}).stdout
        == "x\n"
    )


def test_a_program_that_does_not_end_is_killed_and_told():
    with pytest.raises(NoAnswer, match=r"^this machine: no answer within 0 s from: sleep 1000$"):
        programs.run(["sleep", "1000"], within=0.1)
