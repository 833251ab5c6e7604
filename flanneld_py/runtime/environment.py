"""The environment of the programs that we start."""

from collections.abc import Mapping
from typing import Final

__all__ = ["environment"]

SYSTEM: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")
"""Where iptables, nft, ip and bridge are; PATH in a unit or a user's shell often lacks the first three."""


def environment(environ: Mapping[str, str], **more: str) -> dict[str, str]:
    """Our own environment and `more`, with the system's directories appended to PATH if missing."""
    given = [folder for folder in environ.get("PATH", "").split(":") if folder]
    folders = [*given, *(folder for folder in SYSTEM if folder not in given)]
    return {**environ, "PATH": ":".join(folders), **more}
