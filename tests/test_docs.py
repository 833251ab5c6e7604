"""The documentation's tables that are made from the code."""

import pytest

from tests.docs import PAGES, TABLES, written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_pages_tables_are_as_the_code_has_them(page):
    assert page.read_text() == written(page.read_text()), "run: make docs"


def test_every_table_stands_on_one_page():
    text = "".join(page.read_text() for page in PAGES)
    assert {name: text.count(f"<!-- {name}: made by make docs -->\n") for name in TABLES} == dict.fromkeys(
        TABLES, 1
    )
