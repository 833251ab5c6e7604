"""Charts of measurements: those in git change only when what they show does."""

import pytest

from lab.chart import chart


@pytest.mark.slow
def test_the_same_drawing_makes_the_same_files(tmp_path):
    for name in ("one", "two"):
        with chart(tmp_path / name, height=2) as figure:
            axes = figure.subplots()
            axes.plot([10, 100], [1, 3], label="its start")
            axes.legend()
    for suffix in (".svg", ".png"):
        first, second = ((tmp_path / name).with_suffix(suffix).read_bytes() for name in ("one", "two"))
        assert first == second
    assert "its start" in (tmp_path / "one.svg").read_text()
