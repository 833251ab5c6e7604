"""A bundle, unpacked."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["raw", "unpacked"]


def unpacked(file: Path) -> Mapping[str, str]:
    """The files of a bundle that are texts, by their paths in its folder."""
    return {name: data.decode() for name, data in raw(file).items() if not name.endswith(".pcap")}


def raw(file: Path) -> Mapping[str, bytes]:
    """All files of a bundle, by their paths in its folder."""
    with tarfile.open(file) as archive:
        found = {member.name.partition("/")[2]: archive.extractfile(member) for member in archive}
        return {name: data.read() for name, data in found.items() if data is not None}
