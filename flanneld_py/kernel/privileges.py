"""The privileges of this process."""

from pathlib import Path
from typing import Final

from flanneld_py.errors import Exit, Fatal

__all__ = ["require_net_admin"]

CAP_NET_ADMIN: Final = 12  # linux/capability.h


def require_net_admin() -> None:
    """Raise `Fatal` unless this process may configure the network."""
    effective = int(Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0], 16)
    if not effective >> CAP_NET_ADMIN & 1:
        raise Fatal(
            "Setting up devices, routes and packet filter rules needs CAP_NET_ADMIN, which this process "
            "lacks: run flanneld as root, or grant it that capability",
            code=Exit.KERNEL,
        )
