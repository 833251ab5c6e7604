"""Loads how tests are collected and ordered. The laboratory's own plugin pytest finds by itself."""

pytest_plugins = ["tests.collecting", "tests.fewer_reports", "tests.longest_first", "tests.sampling"]
