"""The documentation: tables that are made from the code, links, and the width of prose."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pages
from tests.docs import PAGES, TABLES, written
from tests.sources import ROOT

ENGLISH = [page for page in pages.PAGES if not page.name.endswith(".zh.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_pages_tables_are_as_the_code_has_them(page):
    assert page.read_text() == written(page.read_text()), "run: make docs"


def test_every_table_stands_on_one_page():
    text = "".join(page.read_text() for page in PAGES)
    assert {name: text.count(f"<!-- {name}: made by make docs -->\n") for name in TABLES} == dict.fromkeys(
        TABLES, 1
    )


def prose(page: Path) -> Iterator[str]:
    """Lines that can be broken: no code, table, picture or line of one long link."""
    code = False
    for line in page.read_text().splitlines():
        if line.lstrip().startswith("```"):
            code = not code
        elif not code and not line.startswith(("|", "    ", "![", "<!--")):
            yield line


@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: page.name)
def test_no_line_of_prose_is_longer_than_an_editor_shows(page):
    assert [line for line in prose(page) if len(line) > 120] == []


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    found = {link.target: pages.problem(link) for link in pages.links(page)}
    assert {target: problem for target, problem in found.items() if problem} == {}


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("docs/lab.md#the-lab-file", None),
        ("#before-you-run-it", None),
        ("https://example.org/page#place", None),
        ("docs/nowhere.md", "leads to no file"),
        ("docs/", "leads to a folder"),
        ("../elsewhere.md", "leads out of the project"),
        ("docs/trace.md#nowhere", "names a heading that is not there"),
        ("LICENSE#nowhere", "names a place in a file that is no page"),
        ("http://example.org", "is no https address"),
        ("https:/example.org", "is no https address"),
    ],
)
def test_what_is_wrong_with_a_link_is_said(target, problem):
    found = pages.problem(pages.Link(ROOT / "README.md", target))
    assert (found is None) == (problem is None)
    assert (found or "").startswith(problem or "")


def test_headings_have_the_anchors_that_github_gives_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# `lab up`, and *what* it does\n\n## Errors\n\n## Errors\n\n### Errors\n\n## 从零开始, 两台主机\n"
    )
    assert pages.anchors(page) == {
        "lab-up-and-what-it-does",
        "errors",
        "errors-1",
        "errors-2",
        "从零开始-两台主机",
    }
