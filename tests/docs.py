"""Write the tables of the documentation that are made from the code: python -m tests.docs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from flanneld_py.options.table import table as table_of_flags

__all__ = ["PAGES", "TABLES", "written"]

TABLES: Final[Mapping[str, Callable[[], str]]] = {"flags": table_of_flags}
"""The text between the lines `<!-- NAME: made by make docs -->` and `<!-- end of NAME -->` of a page."""

PAGES: Final = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))


def written(page: str) -> str:
    """A page with its tables as they are now."""
    for name, made in TABLES.items():
        begin, end = f"<!-- {name}: made by make docs -->\n", f"<!-- end of {name} -->"
        if begin in page:
            before, rest = page.split(begin)
            page = f"{before}{begin}\n{made()}\n{end}{rest.split(end)[1]}"
    return page


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(written(path.read_text()))
