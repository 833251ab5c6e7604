"""`lab status --watch`: what is drawn, and where it is refused."""

import sys

import pytest

from lab import wait
from lab.cli import group, watch
from lab.engine import Engine


def test_a_frame_is_cut_to_the_terminal_and_covers_what_was_there() -> None:
    assert watch.frame("abcdef\ng", 4, 10) == "\x1b[Habcd\x1b[K\ng\x1b[K\n\x1b[J"
    drawn = watch.frame("1\n2\n3\n4\n5", 40, 4)
    assert drawn == "\x1b[H1\x1b[K\n2\x1b[K\n... 3 more lines\x1b[K\n\x1b[J"


def test_it_is_drawn_until_ctrl_c_and_rests_as_long_as_it_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter(["once", "twice"])
    rests: list[float] = []

    def passing(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(wait, "passing", passing)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(KeyboardInterrupt):
        watch.watch(lambda: next(looks))
    shown = capsys.readouterr().out
    assert "once" in shown
    assert "twice" in shown
    assert min(rests) >= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--watch"], "lab: --watch draws on a terminal, and standard output is none\n"),
        (["--watch", "--json"], "lab: --watch and --json cannot be given together\n"),
    ],
)
def test_without_a_terminal_it_is_refused(
    options: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: None)
    assert group.run(["status", *options]) == 2
    assert capsys.readouterr().err.startswith(words)
