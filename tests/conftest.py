"""Hypothesis without a time limit per example: tests share the machine's cores, and none is timed."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
