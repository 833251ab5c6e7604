"""Small files, replaced as a whole, so that nobody ever reads half of one.

Others may be able to write to the directory, /tmp for instance. So nothing that exists there is followed,
waited for or written to.
"""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from flanneld_py.errors import Exit, Fatal

__all__ = ["make_folder", "read", "replace", "require_writable"]

LONGEST: Final = 64 * 1024
"""Bytes of a file that are read; a subnet file has about 200."""


def read(path: Path, *, follow: bool = True) -> str:
    """A small file. Raises `OSError`, also for anything else, such as a FIFO, and `UnicodeDecodeError`."""
    # Without O_NONBLOCK opening a FIFO would wait; what is not a regular file is refused below.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read(LONGEST).decode()


def require_writable(path: Path) -> None:
    """Make the directory, and see that a file can be made there. Raises `Fatal`."""
    try:
        make_folder(path.parent)
        if path.is_dir():
            raise IsADirectoryError(None, "it is a directory")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _fatal(path, error) from error


def replace(path: Path, text: str) -> None:
    """Write the text to a new file, mode 0644, and rename that into place. Raises `Fatal`."""
    temporary = path.with_name(f".{path.name}")  # the name that flannel uses
    made = False
    try:
        make_folder(path.parent)
        with suppress(FileNotFoundError):
            temporary.unlink()  # whatever it is: left by a daemon that was killed, or somebody else's
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        made = True
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, 0o644)
        temporary.replace(path)
    except OSError as error:
        if made:
            with suppress(OSError):
                temporary.unlink()
        raise _fatal(path, error) from error


def make_folder(folder: Path) -> None:
    """With mode 0755 as flannel's, and likewise all missing parents, whatever the umask is."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        with suppress(FileExistsError):  # another flanneld is making it, too
            each.mkdir()
            each.chmod(0o755)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _fatal(path: Path, error: OSError) -> Fatal:
    reason = error.strerror
    return Fatal(
        f"Writing {path}: {reason}: give another place with -subnet-file (with -networks: -subnet-dir)",
        code=Exit.FILE,
    )
