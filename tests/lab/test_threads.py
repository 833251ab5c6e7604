import queue
import signal
import subprocess
import sys
import threading

import pytest

from lab import threads


def test_answers_come_in_the_order_of_what_was_asked():
    second_is_done = threading.Event()

    def act(number: int) -> int:
        if number == 1:
            assert second_is_done.wait(10)
        else:
            second_is_done.set()
        return 10 * number

    assert threads.each(act, [1, 2]) == [10, 20]
    assert threads.each(act, []) == []


def test_answers_are_told_as_they_come():
    first_is_told = threading.Event()

    def act(number: int) -> int:
        assert number == 1 or first_is_told.wait(10)
        return 10 * number

    told = []
    for answer in threads.as_ended(act, [2, 1]):
        told.append(answer)
        first_is_told.set()
    assert told == [10, 20]
    with pytest.raises(ZeroDivisionError):
        list(threads.as_ended(lambda number: 1 // number, [0]))


def test_a_failure_is_raised_once_all_have_ended():
    ended = []

    def act(number: int) -> None:
        if number == 1:
            raise ValueError("no")
        ended.append(number)

    with pytest.raises(ValueError, match="no"):
        threads.each(act, [1, 2, 3])
    assert sorted(ended) == [2, 3]


# The kernel may give Ctrl-C to any thread; here it is one that never ends.
ANOTHER_THREAD_TAKES_IT = """
import signal, threading
from lab import threads

def act(_item):
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    threading.Event().wait()

try:
    threads.each(act, [1])
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_ends_the_wait_whichever_thread_takes_it_and_whatever_still_runs():
    argv = ["env", f"--default-signal={signal.SIGINT:d}", sys.executable, "-c", ANOTHER_THREAD_TAKES_IT]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_what_is_in_the_queue_is_received():
    inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
    inbox.put("here")
    assert threads.receive(inbox) == "here"
