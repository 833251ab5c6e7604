"""Looks at the host below this machine, as far as a container sees it, and prints one JSON document.

Argument: a path on the engine's disk. The kernel, its limits, memory and that disk are the host's in every
container. On the host itself its functions are called.
"""

import json
import os
import sys
import zlib
from pathlib import Path
from typing import Any


def text(path: str) -> str:
    """A file's text; empty where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def number(path: str, place: int = 0) -> int | None:
    """A number in a file of numbers."""
    words = text(path).split()
    return int(words[place]) if len(words) > place and words[place].isdigit() else None


def kernel() -> dict[str, bool]:
    """Which options the kernel was built with; empty where it does not say."""
    try:
        packed = Path("/proc/config.gz").read_bytes()
        config = zlib.decompress(packed, wbits=31).decode()  # of gzip's format
    except (OSError, zlib.error):
        config = text(f"/boot/config-{os.uname().release}")
    found = {}
    for line in config.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.startswith("CONFIG_"):
            found[name.removeprefix("CONFIG_")] = value in {"y", "m"}
        elif line.endswith(" is not set"):
            found[line.split()[1].removeprefix("CONFIG_")] = False
    return found


def limits() -> dict[str, int | None]:
    """Of files and memory."""
    memory = dict(line.split(":", 1) for line in text("/proc/meminfo").splitlines() if ":" in line)
    sizes = {key: int(value.split()[0]) << 10 for key, value in memory.items() if value.endswith("kB")}
    kills = [line.split()[1] for line in text("/proc/vmstat").splitlines() if line.startswith("oom_kill ")]
    return {
        "files_open": number("/proc/sys/fs/file-nr"),
        "files_max": number("/proc/sys/fs/file-nr", 2),
        "memory": sizes.get("MemTotal"),
        "memory_available": sizes.get("MemAvailable"),
        "oom_kills": int(kills[0]) if kills else None,
    }


def disk(path: str) -> dict[str, Any] | None:
    """What is left of it."""
    try:
        about = os.statvfs(path)
    except OSError:
        return None
    return {
        "read_only": bool(about.f_flag & os.ST_RDONLY),
        "free": about.f_bavail * about.f_frsize,
        "size": about.f_blocks * about.f_frsize,
        "files_free": about.f_favail,
        "files": about.f_files,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"kernel": kernel(), "limits": limits(), "disk": disk(sys.argv[1])}))
