"""Files and folders of this machine as a tar, and out of one."""

import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lab.copying.paths import Kind
from lab.errors import LabError

__all__ = ["kind_here", "pack", "unpack"]

BLOCK = 1 << 16


def kind_here(path: str, *, follow: bool) -> Kind:
    """What a path of this machine leads to."""
    if not follow and os.path.islink(path):  # noqa: PTH114 - an empty path, too
        return "link"
    if os.path.isdir(path):  # noqa: PTH112
        return "folder"
    return "file" if os.path.exists(path) else "absent"  # noqa: PTH110


def pack(source: Path, name: str, into: BinaryIO) -> None:
    """Write a file or folder under this name; without a name what is in the folder. Raises `LabError`.

    All of it is root's there.
    """
    with _told(), tarfile.open(fileobj=into, mode="w|", bufsize=BLOCK) as archive:
        for path in [source] if name else sorted(source.iterdir()):
            archive.add(path, name or path.name, filter=_as_root)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def unpack(archive: BinaryIO, folder: Path, name: str) -> None:
    """Write what is in a tar, a file or a folder, under this name, or without one what is in the folder.

    Its modes and times are kept; whose it is here is the one who asks. What it says is not trusted: nothing
    is written outside the folder, by `..` or by a link. Raises `LabError`.
    """
    folders: list[tuple[Path, tarfile.TarInfo]] = []
    with _told(), tarfile.open(fileobj=archive, mode="r|") as tar:
        for member in tar:
            path = _place(folder, name, member.name)
            if path == folder:
                continue
            if member.isdir():
                if not _is_folder(path):
                    path.mkdir(0o700)
                folders.append((path, member))
            else:
                _write(tar, member, path, _place(folder, name, member.linkname) if member.islnk() else path)
        for path, member in reversed(folders):
            path.chmod(stat.S_IMODE(member.mode))
            os.utime(path, (member.mtime, member.mtime))


def _place(folder: Path, name: str, written: str) -> Path:
    """Where a member goes, whose name begins with that of what was asked for."""
    parts = PurePosixPath(written).parts
    if ".." in parts or parts[:1] == ("/",):
        raise LabError(f"what came has a name that leads elsewhere: {written}")
    within: Sequence[str] = [name, *parts[1:]] if name else parts[1:]
    place = folder
    for part in within:
        if place != folder and not _is_folder(place):
            raise LabError(f"{place} is no folder, so {written} cannot be written there")
        place /= part
    return place


def _is_folder(path: Path) -> bool:
    """And no link to one."""
    return path.is_dir() and not path.is_symlink()


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, linked: Path) -> None:
    if _is_folder(path):
        raise LabError(f"{path} is a folder here, and none where it comes from")
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        os.link(linked, path, follow_symlinks=False)
    elif member.isfifo():
        os.mkfifo(path, stat.S_IMODE(member.mode))
    elif (content := tar.extractfile(member)) is not None:
        with path.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            shutil.copyfileobj(content, file, BLOCK)
            os.fchmod(file.fileno(), stat.S_IMODE(member.mode))
        os.utime(path, (member.mtime, member.mtime))
    else:
        raise LabError(f"{member.name} is a device, which is not copied")


@contextmanager
def _told() -> Iterator[None]:
    """Tell what this machine's files do not allow, by the file."""
    try:
        yield
    except OSError as error:
        raise LabError(f"{error.filename or 'what is copied'}: {error.strerror or error}") from error
