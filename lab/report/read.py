"""The files that a report is made from besides the lab itself."""

import tarfile
import zlib
from pathlib import Path

from lab.bundle.destination import SUFFIX
from lab.errors import LabError, Unfit
from lab.report.documents import Bench, Bundle, Soak, read
from lab.report.model import Indexed
from lab.report.phases import Timings, happenings, timed

__all__ = ["bench_from", "bundles_in", "soak_from", "timings_from"]

CONTENTS = "contents.json"
LARGEST = 16 << 20
"""Bytes of a list of contents; those that there are have some 50,000."""


def timings_from(file: Path) -> Timings:
    """Raises `Unfit`."""
    return timed(happenings(_text("--events", file), str(file)))


def soak_from(file: Path) -> Soak:
    """Raises `Unfit`."""
    return read(Soak, _text("--soak", file), str(file), "lab soak --json > FILE")


def bench_from(file: Path) -> Bench:
    """Raises `Unfit`."""
    return read(Bench, _text("--bench", file), str(file), "lab bench --output DIR, which has bench.json then")


def _text(option: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise Unfit(f"{option}: {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unfit(f"{option}: {file} is no text in UTF-8: {error.reason}") from error


def bundles_in(folder: Path) -> tuple[Indexed, ...]:
    """Those in a folder, by name; of one that cannot be read, why. None, if there is no such folder."""
    try:
        files = sorted(file for file in folder.iterdir() if file.name.endswith(SUFFIX))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise Unfit(f"--bundles: {folder} cannot be read: {error.strerror}") from error
    return tuple(map(_indexed, files))


def _indexed(file: Path) -> Indexed:
    try:
        size = file.stat().st_size
        return Indexed(file.name, size, read(Bundle, _contents(file), file.name, "lab bundle"))
    except (OSError, EOFError, tarfile.TarError, zlib.error, UnicodeDecodeError) as error:
        return Indexed(file.name, 0, None, f"it cannot be read: {error}")
    except LabError as error:
        return Indexed(file.name, 0, None, error.message)


def _contents(file: Path) -> str:
    """Only this one member is read, into memory: nothing is unpacked."""
    with tarfile.open(file, "r:gz") as archive:
        for member in archive:
            if member.isfile() and member.name.split("/")[1:] == [CONTENTS]:
                if member.size > LARGEST or (opened := archive.extractfile(member)) is None:
                    break
                return opened.read().decode()
    raise Unfit(f"{file.name}: there is no {CONTENTS} in it", hint="lab bundle writes such archives.")
