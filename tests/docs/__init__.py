"""The tables of the documentation that are made from the code and from measurements."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from flanneld_py.options.table import table as table_of_flags
from lab.checks.table import table as table_of_checks
from lab.doctor.table import table as table_of_diagnoses
from lab.faults.table import table as table_of_faults
from lab.scale.faults import table as table_of_scale_faults
from lab.spec.document import json_schema
from tests.docs import benchmarks, decisions, lab_files, scale, trace_score

__all__ = ["LAB_FILE_SCHEMA", "PAGES", "TABLES", "schema_text", "written"]

TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "checks": table_of_checks,
    "decisions": decisions.table,
    "diagnoses": table_of_diagnoses,
    "examples": lab_files.table,
    "faults": table_of_faults,
    "flags": table_of_flags,
    "machine": benchmarks.machine,
    "overlays": benchmarks.overlays,
    "scale-constants": scale.constants,
    "scale-curve": scale.curve,
    "scale-faults": table_of_scale_faults,
    "scale-foretold": scale.foretold,
    "scale-machine": scale.machine,
    "scale-simulated": scale.simulated,
    "scale-targets": scale.targets,
    "targets": benchmarks.targets,
    "trace-score": trace_score.table,
}
"""The text between the lines `<!-- NAME: made by make docs -->` and `<!-- end of NAME -->` of a page."""

DOCS: Final = Path(__file__).parent.parent.parent / "docs"
PAGES: Final = sorted([*DOCS.glob("**/*.md"), *DOCS.parent.glob("examples/*.md")])
LAB_FILE_SCHEMA: Final = DOCS / "lab-file.schema.json"


def schema_text() -> str:
    """What `lab schema` prints."""
    return json.dumps(json_schema(), indent=2) + "\n"


def written(page: str) -> str:
    """A page with its tables as they are now."""
    for name, made in TABLES.items():
        begin, end = f"<!-- {name}: made by make docs -->\n", f"<!-- end of {name} -->"
        if begin in page:
            before, rest = page.split(begin)
            page = f"{before}{begin}\n{made()}\n{end}{rest.split(end)[1]}"
    return page
