"""What of the kernel can be written from inside a machine."""

import re
from collections.abc import Sequence

__all__ = ["FIND", "foreign"]

# Prints each file of /proc and /sys, but of processes, that is meant to be written and opens for that; writes
# nothing. For root every file opens that has no permission to be written either; writing such a one fails.
FIND = """\
import os, stat, sys
for top in "/proc", "/sys":
    for folder, folders, files in os.walk(top):
        if folder == "/proc":
            folders[:] = [name for name in folders if not name.isdigit()]
        for path in (os.path.join(folder, name) for name in files):
            try:
                mode = os.lstat(path).st_mode
                if stat.S_ISREG(mode) and mode & 0o222:
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                    print(path)
            except OSError:
                pass
"""

# namespaces(7), ipc_namespaces(7), uts_namespaces(7), network_namespaces(7), and the machine's own cgroups.
OWN = re.compile(
    r"/proc/sys/net/|/proc/sys/fs/mqueue/|/proc/sys/kernel/(hostname|domainname|sem|(shm|msg)[a-z_]+)$"
    r"|/sys/fs/cgroup/"
)


def foreign(listing: str) -> Sequence[str]:
    """Of what FIND prints, what is not the machine's own."""
    return [path for path in listing.splitlines() if not OWN.match(path)]
