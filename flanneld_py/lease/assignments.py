"""Reading a file of shell assignments (subnet.env) without a shell."""

import re

__all__ = ["read"]

# With blanks around the sign, or a colon: not an assignment to a shell, but to flannel's reader (godotenv).
# A value that a shell would expand or run ($, `, \, ;, &, |, <, >, parentheses) is not a plain assignment.
_LINE = re.compile(
    r"""(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*[=:]\s*"""
    r"""(?:"([^"$`\\]*)"|'([^']*)'|([^\s"'#$`\\;&|<>()]*))(?:\s+#.*)?"""
)


def read(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables that `text` sets, where the last assignment wins, and the lines that set none.

    Blank lines and comments are neither. A value may be quoted; nothing in it is expanded.
    """
    values: dict[str, str] = {}
    others: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            others.append(stripped)
        else:
            values[match[1]] = match[2] or match[3] or match[4] or ""
    return values, tuple(others)
