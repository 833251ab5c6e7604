"""Which lines of a log are shown. The logs are real ones, cut where that changes nothing."""

import pytest

from lab.node.journal import telling

# flannel 0.5.5 and 0.20.2 (Go's flag), with -ifcae=eth0; each goes on for 30 more options.
FLANNEL = """\
flag provided but not defined: -ifcae
Usage of /usr/bin/flanneld:
  -alsologtostderr
    \tlog to standard error as well as files
  -etcd-cafile string
    \tSSL Certificate Authority file used to secure etcd communication
""" + "".join(f"  -option{number}\n    \twhat it is for\n" for number in range(30))
# Ours, whose usage has a second part.
OURS = FLANNEL.replace("Usage of /usr/bin/flanneld:", "Usage: flanneld [OPTION]...") + (
    "Commands, with the same options:\n  leases [--json]\n    \tlist the leases\n"
)
# Python's argparse: the error comes after the usage.
ARGPARSE = "usage: mine.py [-h] [-iface IFACE]\n               [-etcd-endpoints URL]\n" + (
    "mine.py: error: unrecognized arguments: -ifcae=eth0\n"
)
PANIC = "panic: runtime error: index out of range [3] with length 3\n\ngoroutine 1 [running]:\n" + "".join(
    f"main.step{number}()\n\t/src/main.go:{number} +0x1d\n" for number in range(30)
)
TRACEBACK = """\
Traceback (most recent call last):
  File "/usr/bin/flanneld", line 3, in <module>
    main()
ModuleNotFoundError: No module named 'mine'
"""


@pytest.mark.parametrize("log", [FLANNEL, OURS], ids=["genuine", "ours"])
def test_an_option_that_is_not_known_is_told_without_the_usage(log: str):
    assert telling(log) == "flag provided but not defined: -ifcae"


def test_an_error_that_comes_after_a_usage_is_told():
    assert telling(ARGPARSE) == "mine.py: error: unrecognized arguments: -ifcae=eth0"


def test_a_service_that_was_started_again_and_again_tells_the_line_each_time():
    assert telling(FLANNEL * 3).splitlines() == ["flag provided but not defined: -ifcae"] * 3


def test_a_complaint_far_above_the_end_is_told_with_the_end():
    lines = telling(PANIC, 4).splitlines()
    assert lines[:2] == ["panic: runtime error: index out of range [3] with length 3", "..."]
    assert lines[-1] == "\t/src/main.go:29 +0x1d"
    assert len(lines) == 6


def test_the_last_lines_are_told_where_they_complain_themselves():
    assert telling("an error of yesterday\n" * 20 + TRACEBACK, 4) == TRACEBACK.rstrip()


def test_a_log_without_any_complaint_is_told_by_its_end():
    assert telling("".join(f"line {number}\n" for number in range(20)), 2) == "line 18\nline 19"
    assert telling("") == ""
