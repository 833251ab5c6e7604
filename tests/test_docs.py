"""The documentation's tables that are made from the code."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import PAGES, TABLES, written

ROOT = Path(__file__).parent.parent
ENGLISH = [
    page for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if not page.name.endswith(".zh.md")
]


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
