"""The tutorial as data: its Pod files, and its steps with the expected output."""

from lab.tutorial.replay import replay
from lab.tutorial.step import Agreement, Shown, StepResult

__all__ = ["Agreement", "Shown", "StepResult", "replay"]
