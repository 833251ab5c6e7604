"""The subnet file: it is replaced as a whole, so that nobody ever reads half of it."""

import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from flanneld_py import subnet_env
from flanneld_py.errors import Exit, Fatal
from flanneld_py.subnet import Subnet

__all__ = ["previous_subnet", "replace", "require_writable"]

logger = logging.getLogger(__name__)


def previous_subnet(path: Path) -> Subnet | None:
    """The subnet that the file says this machine held."""
    try:
        return subnet_env.previous_subnet(path.read_text())
    except FileNotFoundError:
        return None  # the first start
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("Reading the previous subnet from %s: %s", path, error)
        return None


def require_writable(path: Path) -> None:
    """Make the directory, and see that a file can be made there. Raises `Fatal`."""
    try:
        _make_folder(path.parent)
        if path.is_dir():
            raise IsADirectoryError(None, "it is a directory")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _fatal(path, error) from error


def replace(path: Path, text: str) -> None:
    """Write the text to a new file, mode 0644, and rename that into place. Raises `Fatal`."""
    temporary = path.with_name(f".{path.name}")  # flannel's own name for it
    try:
        _make_folder(path.parent)
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise _fatal(path, error) from error


def _make_folder(folder: Path) -> None:
    """With mode 0755 as flannel's, whatever the umask is."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)


def _fatal(path: Path, error: OSError) -> Fatal:
    reason = error.strerror
    return Fatal(f"Writing {path}: {reason}: give another place with -subnet-file", code=Exit.FILE)
