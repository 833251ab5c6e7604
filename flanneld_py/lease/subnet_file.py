"""The subnet file: read at the start, written with a lease, and again whenever it was changed."""

import logging
from pathlib import Path

from flanneld_py.lease import subnet_env
from flanneld_py.runtime import files
from flanneld_py.subnet import Subnet

__all__ = ["SubnetFile", "previous_subnet"]

logger = logging.getLogger(__name__)


def previous_subnet(path: Path) -> Subnet | None:
    """The subnet that the file says this machine held."""
    try:
        return subnet_env.previous_subnet(files.read(path, follow=False))
    except FileNotFoundError:
        return None  # the first start
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("Reading the previous subnet from %s: %s", path, error)
        return None


class SubnetFile:
    """At `path`, for an overlay with this network. Nothing is restored before the first `write`."""

    def __init__(self, path: Path, overlay: Subnet, *, ip_masq: bool) -> None:
        self._path = path
        self._overlay = overlay
        self._ip_masq = ip_masq
        self._text = ""

    def write(self, subnet: Subnet, mtu: int) -> None:
        """Write this, now and whenever it is changed. Raises `Fatal`."""
        self._text = subnet_env.render(subnet_env.SubnetEnv(self._overlay, subnet, mtu, self._ip_masq))
        files.replace(self._path, self._text)

    def keep(self) -> str:
        """Write it again if it has changed; returns what was wrong with it, or "". Raises `Fatal`."""
        wrong = self._wrong() if self._text else ""
        if wrong:
            files.replace(self._path, self._text)
        return wrong

    def _wrong(self) -> str:
        try:
            found = files.read(self._path, follow=False)
        except FileNotFoundError:
            return f"{self._path} was deleted"
        except UnicodeDecodeError:
            return f"{self._path} was changed"
        except OSError as error:
            return f"{self._path} could not be read: {error.strerror}"
        return "" if found == self._text else f"{self._path} was changed"
