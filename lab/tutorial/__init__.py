"""The tutorial as data: its pod files, and each of its steps with what that must show."""

from lab.tutorial.replay import replay
from lab.tutorial.step import Shown, StepResult

__all__ = ["Shown", "StepResult", "replay"]
