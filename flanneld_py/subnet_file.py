"""The subnet file while the daemon runs: written with a lease, and again whenever it is not as written."""

from pathlib import Path

from flanneld_py import files, subnet_env
from flanneld_py.subnet import Subnet

__all__ = ["SubnetFile"]


class SubnetFile:
    """At `path`, for an overlay of this network. Nothing is kept before the first `write`."""

    def __init__(self, path: Path, overlay: Subnet, *, ip_masq: bool) -> None:
        self._path = path
        self._overlay = overlay
        self._ip_masq = ip_masq
        self._text = ""

    def write(self, subnet: Subnet, mtu: int) -> None:
        """Have it say this. Raises `Fatal`."""
        self._text = subnet_env.render(subnet_env.SubnetEnv(self._overlay, subnet, mtu, self._ip_masq))
        files.replace(self._path, self._text)

    def keep(self) -> str:
        """Write it again if it says anything else; what was wrong with it, or "". Raises `Fatal`."""
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
