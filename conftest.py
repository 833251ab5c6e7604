"""Loads the laboratory's pytest fixtures."""

pytest_plugins = ["lab.fixtures"]
