"""The names of labs. Pure, and without what reads a lab: who types a name is answered at once."""

import re

__all__ = ["TUTORIAL", "lab_name"]

TUTORIAL = "tutorial"
"""The name of the lab that has the tutorial's addresses."""

LAB_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def lab_name(value: str) -> str:
    """Return the name if it is valid for a lab. Raises `ValueError`."""
    if not LAB_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a lab name: at most 32 lower-case letters, digits and '-'")
    return value
