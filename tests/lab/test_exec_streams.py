import pytest

from lab.engine import STDERR, STDOUT
from lab.exec_streams import Refusal

# Docker 20.10 and 26.1 say this, on standard output, and end with 126 in both cases.
ABSENT = b'OCI runtime exec failed: exec failed: exec: "x": executable file not found in $PATH: unknown\r\n'
FORBIDDEN = b'OCI runtime exec failed: exec failed: exec: "/etc/passwd": permission denied: unknown\r\n'


@pytest.mark.parametrize(("said", "code"), [(ABSENT, 127), (FORBIDDEN, 126)])
def test_a_command_that_cannot_be_started_ends_as_in_a_shell(said: bytes, code: int) -> None:
    refusal = Refusal()
    assert list(refusal.sift([(STDOUT, said)])) == [(STDERR, said)]
    assert refusal.exit_code(126) == code


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [(STDOUT, b"out"), (STDERR, b"err")],
        [(STDERR, ABSENT)],
        [(STDOUT, ABSENT), (STDOUT, b"more")],
        [(STDOUT, b"first"), (STDOUT, ABSENT)],
    ],
)
def test_what_a_command_prints_is_left_as_it_is(frames: list[tuple[int, bytes]]) -> None:
    refusal = Refusal()
    assert list(refusal.sift(frames)) == frames
    assert refusal.exit_code(126) == 126
