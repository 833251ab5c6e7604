"""The table of all diagnoses, for docs/doctor.md, where `make docs` writes it."""

from lab.doctor.model import Severity
from lab.doctor.registry import every_rule

__all__ = ["table"]

WORDS = {Severity.MEND: "to be mended", Severity.NOTE: "worth knowing"}


def table() -> str:
    """The table in Markdown, from the ground up."""
    rows = [f"| `{rule.id}` | {WORDS[rule.severity]} | {rule.finds} |" for rule in every_rule()]
    return "\n".join(["| identifier | usually | names |", "|---|---|---|", *rows]) + "\n"
