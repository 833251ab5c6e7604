"""Write the tables of the documentation: `make docs`."""

from tests.docs import PAGES, written

for path in PAGES:
    path.write_text(written(path.read_text()))
