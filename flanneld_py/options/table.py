"""The table of flags in docs/flanneld.md, which `make docs` writes."""

import re

from flanneld_py.options.flags import ALL_OPTIONS
from flanneld_py.options.option import Flag

__all__ = ["table"]


def table() -> str:
    """A row for each flag, in the order of the declarations."""
    rows = [_row(name, flag) for name, flag in ALL_OPTIONS.items() if not flag.command]
    return "\n".join(["| flag | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _row(name: str, flag: Flag) -> str:
    marks = " +" * flag.repeats + " \\*" * flag.only_here
    default = f"`{flag.default}`" if flag.default else ""
    return " ".join(filter(None, ("|", f"`-{name}`{marks}", "|", default, "|", _sentence(flag), "|")))


def _sentence(flag: Flag) -> str:
    """What `docs` says, else the line of -help as a sentence, with other flags set in code."""
    help_line = f"{flag.meaning[0].upper()}{flag.meaning[1:]}."
    text = flag.docs or re.sub(r"(?<![\w`])-[a-z][a-z0-9-]*[a-z0-9]", r"`\g<0>`", help_line)
    return text.replace("|", "\\|")
