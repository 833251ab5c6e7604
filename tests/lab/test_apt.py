"""Installing packages while somebody else does; apt-get is a script here."""

import os
from pathlib import Path

import pytest

from lab import apt
from lab.errors import Unfit

# As apt 2.6 and 3.0 say it.
HELD = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 4711 (apt-get)"

APT_GET = """#!/bin/sh
echo "$*" >> {calls}
if [ "$(wc -l < {calls})" -le {refusals} ]; then
  echo 'Reading package lists...'
  echo '{refusal}' >&2
  echo 'E: Unable to lock directory /var/lib/apt/lists/' >&2
  exit 100
fi
"""


@pytest.fixture
def apt_get(tmp_path, monkeypatch):
    """Makes an apt-get that refuses so many times; returns what it was asked."""
    calls: Path = tmp_path / "calls"

    def make(refusals: int, refusal: str = HELD) -> Path:
        script = tmp_path / "apt-get"
        script.write_text(APT_GET.format(calls=calls, refusals=refusals, refusal=refusal))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return calls

    return make


def test_lists_are_brought_up_to_date_before_anything_is_installed(apt_get):
    calls = apt_get(0)
    said: list[str] = []
    apt.install("clang", "linux-libc-dev", busy=said.append)
    assert calls.read_text().splitlines() == [
        "update",
        "install -y --no-install-recommends clang linux-libc-dev",
    ]
    assert said == []


def test_another_apt_is_waited_for_and_named_once(apt_get):
    calls = apt_get(3)
    said: list[str] = []
    apt.install("clang", busy=said.append, interval=0.01)
    assert [call.split()[0] for call in calls.read_text().splitlines()] == ["update"] * 4 + ["install"]
    assert said == [f"waiting for another apt: {HELD.removeprefix('E: ')}"]


def test_any_other_refusal_ends_it_with_what_apt_said(apt_get):
    calls = apt_get(1, refusal="E: The repository is not signed.")
    with pytest.raises(Unfit, match=r"(?s)exit status 100 from: apt-get update\n.*not signed"):
        apt.install("clang", busy=pytest.fail)
    assert calls.read_text().splitlines() == ["update"]
