"""What is added to the report of a test that has a lab."""

from collections.abc import Iterator

import pytest

from lab.cluster import Lab, lifecycle
from lab.errors import LabError
from lab.pytest_plugin.labs import BUNDLES, MakeLab
from lab.pytest_plugin.summary import BUNDLE, KEPT, NAMES

__all__ = ["add_to"]


def add_to(report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Leave bundles about the labs of a failed test, and add the machines' last words."""
    if report.when == "teardown":
        report.user_properties += [(NAMES, name) for name in sorted(KEPT)]
    if not report.failed:
        BUNDLES.forget()
        return
    # One that several fixtures hand on is one all the same.
    for found in {lab.name: lab for lab in _labs_of(item)}.values():
        BUNDLES.leave(found, call.excinfo.value if call.excinfo else "")
        report.sections += [section for node in found.nodes for section in _last_words(found, node)]
    report.user_properties += [(BUNDLE, file) for file in BUNDLES.take()]


def _labs_of(item: pytest.Item) -> Iterator[Lab]:
    """The labs that a test has from fixtures."""
    for value in getattr(item, "funcargs", {}).values():
        match value:
            case Lab():
                yield value
            case lifecycle.Outcome(lab=found):
                yield found
            case MakeLab():
                yield from value.labs


def _last_words(lab: Lab, name: str) -> Iterator[tuple[str, str]]:
    node = lab.nodes[name]
    for unit in node.services:
        try:
            log = node.journal(unit, lines=30)
        except LabError as error:
            log = error.message
        yield f"{unit} on {name}", log
