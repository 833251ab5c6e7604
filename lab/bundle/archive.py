"""The files of a bundle as one archive: the same files make the same bytes. Pure."""

import gzip
import io
import tarfile
from collections.abc import Sequence
from datetime import datetime

from lab.bundle.model import Entry

__all__ = ["pack"]


def pack(folder: str, entries: Sequence[Entry], at: datetime) -> bytes:
    """A tar.gz of these, whose contents are texts or bytes, in their order, below one folder."""
    buffer = io.BytesIO()
    seconds = int(at.timestamp())
    with (
        gzip.GzipFile(filename="", fileobj=buffer, mode="wb", mtime=seconds) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry in entries:
            data = entry.data
            info = tarfile.TarInfo(f"{folder}/{entry.path}")
            info.size, info.mtime, info.mode = len(data), seconds, 0o644
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
