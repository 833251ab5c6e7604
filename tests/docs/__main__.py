"""Write what is made from the code: the tables of the documentation, the lab file's schema. `make docs`."""

from tests.docs import LAB_FILE_SCHEMA, PAGES, schema_text, written

for path in PAGES:
    path.write_text(written(path.read_text()))
LAB_FILE_SCHEMA.write_text(schema_text())
