"""The lab files of examples/, brought up for tests."""

from collections.abc import Iterator
from pathlib import Path

from lab import spec
from lab.cluster import Lab
from lab.engine import Engine
from lab.pytest_plugin.labs import temporary_lab

__all__ = ["FOLDER", "example"]

FOLDER = Path(__file__).parents[2] / "examples"


def example(engine: Engine, path: str) -> Iterator[Lab]:
    """The lab of an example, for as long as the generator is not asked again: the body of a fixture."""
    with temporary_lab(engine, spec.load_file(FOLDER / path)) as outcome:
        yield outcome.lab
