import json
import logging
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from flanneld_py.runtime import log


def record(level: int = logging.INFO, created: float = 0.0, process: int = 6615) -> logging.LogRecord:
    made = logging.LogRecord("flanneld_py.x", level, "/x/udp.py", 222, "Watching for %s", ("leases",), None)
    made.created = created
    made.process = process
    return made


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("flanneld_py")
    before = (list(root.handlers), root.level, ours.level)
    yield
    root.handlers, level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


def test_a_line_is_glogs() -> None:
    """flannel v0.5.5 wrote: I1123 01:48:43.129630 06615 udp.go:222] Watching for new subnet leases."""
    when = time.mktime((2025, 11, 23, 1, 48, 43, 0, 0, -1)) + 0.129630
    line = log.GlogFormatter().format(record(created=when))
    assert re.fullmatch(r"I1123 01:48:43\.1296(30|29) 06615 udp\.py:222\] Watching for leases", line)


@pytest.mark.parametrize(
    ("level", "letter"),
    [
        (logging.DEBUG, "I"),
        (logging.INFO, "I"),
        (logging.WARNING, "W"),
        (logging.ERROR, "E"),
        (logging.CRITICAL, "F"),
    ],
)
def test_the_first_letter_is_the_severity(level: int, letter: str) -> None:
    assert log.GlogFormatter().format(record(level))[0] == letter


def test_a_long_process_id_is_written_in_full() -> None:
    assert " 4194304 udp.py" in log.GlogFormatter().format(record(process=4194304))


@pytest.mark.parametrize(
    ("verbosity", "ours", "theirs"), [(0, False, False), (1, True, False), (2, True, True)]
)
def test_verbosity_opens_our_messages_first_and_then_the_libraries(
    verbosity: int,
    ours: bool,
    theirs: bool,
    restored_logging: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.setup(verbosity)
    logging.getLogger("flanneld_py.daemon.network").debug("ours")
    logging.getLogger("grpc").debug("theirs")
    error = capsys.readouterr().err
    assert ("] ours\n" in error, "] theirs\n" in error) == (ours, theirs)


def test_setting_up_twice_does_not_say_everything_twice(
    restored_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    log.setup()
    log.setup(1)
    logging.getLogger("flanneld_py.daemon.network").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_a_line_of_json_says_the_same() -> None:
    found = json.loads(log.JsonFormatter().format(record(created=1763862523.129630)))
    when = datetime.fromisoformat(found.pop("time"))
    assert when.utcoffset() is not None
    assert when.astimezone(UTC) == datetime(2025, 11, 23, 1, 48, 43, 129630, UTC)
    assert found == {
        "level": "info",
        "message": "Watching for leases",
        "file": "udp.py",
        "line": 222,
        "pid": 6615,
    }


@pytest.mark.parametrize(
    ("level", "word"),
    [
        (logging.DEBUG, "debug"),
        (logging.WARNING, "warning"),
        (logging.ERROR, "error"),
        (logging.CRITICAL, "fatal"),
    ],
)
def test_the_severity_is_a_word_in_json(level: int, word: str) -> None:
    assert json.loads(log.JsonFormatter().format(record(level)))["level"] == word


def test_json_is_one_line_whatever_the_message_and_the_traceback_hold(
    restored_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    log.setup(0, "json")
    message = 'two\nlines, "quotes" and \N{SNOWMAN}'
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("flanneld_py.daemon.network").exception(message)
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert found["message"] == message
    assert found["traceback"].startswith("Traceback (most recent call last):\n")
    assert found["traceback"].endswith("ValueError: x")
