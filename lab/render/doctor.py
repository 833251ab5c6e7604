"""What `lab doctor` prints."""

import textwrap
from collections.abc import Sequence

from lab.doctor.model import Diagnosis, Severity
from lab.render.documents import Document, versioned

__all__ = ["document", "text", "to_mend"]

MARKS = {Severity.MEND: "MEND", Severity.NOTE: "NOTE"}
INDENT = "      "


def text(found: Sequence[Diagnosis], *, width: int | None = None) -> str:
    """A block for each, and the sum. Commands stay whole, so that they can be pasted."""
    return "\n\n".join([*(_block(item, width) for item in found), _sum(found)])


def _block(item: Diagnosis, width: int | None) -> str:
    head = f"{MARKS[item.severity]}  {item.subject}: {item.what}  [{item.id}]"
    lines = [head, *(_wrapped(f"seen  {line}", width) for line in item.evidence)]
    return "\n".join([*lines, *(f"{INDENT}fix   {line}" for line in item.fix)])


def _wrapped(line: str, width: int | None) -> str:
    if width is None:
        return INDENT + line
    return textwrap.fill(
        line,
        width,
        initial_indent=INDENT,
        subsequent_indent=f"{INDENT}      ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def to_mend(found: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Those that must be mended."""
    return [item for item in found if item.severity is Severity.MEND]


def _sum(found: Sequence[Diagnosis]) -> str:
    mend = len(to_mend(found))
    notes = len(found) - mend
    words = [f"{mend} to be mended" if mend else "Nothing to mend"]
    if notes:
        words.append(f"{notes} worth knowing")
    return f"{'; '.join(words)}."


def document(found: Sequence[Diagnosis], lab: str | None) -> Document:
    """The same for a program; `lab` is the one that was looked at, if there is one."""
    mend = len(to_mend(found))
    return versioned(
        {
            "lab": lab,
            "toMend": mend,
            "worthKnowing": len(found) - mend,
            "diagnoses": [
                {
                    "id": item.id,
                    "severity": item.severity.value,
                    "subject": item.subject,
                    "what": item.what,
                    "evidence": list(item.evidence),
                    "fix": list(item.fix),
                }
                for item in found
            ],
        }
    )
