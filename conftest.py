"""Loads the order in which workers take files. The laboratory's own plugin pytest finds by itself."""

pytest_plugins = ["tests.longest_first"]
