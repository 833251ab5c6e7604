"""Loads the laboratory's pytest fixtures, and the order in which workers take files."""

pytest_plugins = ["lab.fixtures", "tests.longest_first"]
