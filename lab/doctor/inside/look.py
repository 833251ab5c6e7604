"""Looks at this machine, all at the same time, and prints one JSON document about it.

Argument: {"commands": {NAME: ARGV}, "sysctls": [PATTERN, ...], "units": [UNIT, ...], "folders": [PATH, ...],
"reach": {NAME: [HOST, PORT]}, "readyz": URL or "", "seconds": N}. Each thing has so many seconds; what is
late, or cannot be had, is told as such and holds up nothing else.
"""

import contextlib
import errno
import json
import os
import select
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CLOCK = (b"\0clock_gettime\0", b"\0gettimeofday\0", b"\0time\0")
"""Names of functions of the C library, as a library that replaces one has them in its table of symbols."""

MOST = 1 << 23
"""Bytes of a library that are searched."""


def read(path: str) -> str:
    """A file of /proc or /sys; empty if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


class Command:
    """A command that has begun. What it prints goes into memory, so that nobody has to wait to read it."""

    def __init__(self, argv: list[str]) -> None:
        self.out, self.err = (os.fdopen(os.memfd_create(name), "rb") for name in ("out", "err"))
        self.why = ""
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err)
        except OSError as error:
            self.why = f"{argv[0]}: {error.strerror}"

    def end(self, deadline: float) -> dict[str, Any]:
        """What it has printed, and how it has ended."""
        status = 127
        if self.process is not None:
            try:
                status = self.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                status, self.why = 124, "no answer in time"
        out, err = self._text(self.out), self._text(self.err)
        return {"exit": status, "out": out, "err": f"{err}\n{self.why}".strip()}

    @staticmethod
    def _text(file: Any) -> str:
        with file:
            file.seek(0)
            return str(file.read().decode(errors="replace"))


def clock_library(pid: int) -> str:
    """The library preloaded into a process that replaces the C library's clock, if there is one."""
    for entry in read(f"/proc/{pid}/environ").split("\0"):
        name, _, value = entry.partition("=")
        for path in value.replace(":", " ").split() if name == "LD_PRELOAD" else ():
            with contextlib.suppress(OSError), Path(f"/proc/{pid}/root{path}").open("rb") as library:
                content = library.read(MOST)
                if any(symbol in content for symbol in CLOCK):
                    return path
    return ""


def processes(unit: str) -> list[dict[str, Any]]:
    """Those of a unit's control group, with the state of each (proc(5))."""
    found = []
    for file in Path(f"/sys/fs/cgroup/system.slice/{unit}.service").rglob("cgroup.procs"):
        for word in read(str(file)).split():
            name, _, rest = read(f"/proc/{word}/stat").partition("(")[2].rpartition(")")
            if rest:
                about = {"pid": int(word), "name": name, "state": rest.split()[0]}
                found.append({**about, "clock": clock_library(int(word))})
    return found


def folder(path: str) -> dict[str, Any]:
    """What may be written there."""
    try:
        about = os.statvfs(path)
        read_only = bool(about.f_flag & os.ST_RDONLY)
        if not os.access(path, os.W_OK):
            read_only = True
    except OSError as error:
        return {"there": error.errno != errno.ENOENT, "error": error.strerror}
    free, size = about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize
    files = {"files_free": about.f_favail, "files": about.f_files}
    return {"there": True, "read_only": read_only, "free": free, "size": size, **files}


def dial(host: str, port: int) -> "socket.socket | str":
    """A connection that is being made, or why none can be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        connection = socket.socket(family, kind, protocol)
    except OSError as error:
        return error.strerror or str(error)
    connection.setblocking(False)
    status = connection.connect_ex(address)
    return connection if status in (0, errno.EINPROGRESS) else os.strerror(status)


def connected(connection: "socket.socket | str", deadline: float) -> str:
    """Empty once a connection is made, else why it is not."""
    if isinstance(connection, str):
        return connection
    with connection:
        if not select.select([], [connection], [], max(0.0, deadline - time.monotonic()))[1]:
            return "no answer in time"
        status = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return os.strerror(status) if status else ""


def get(url: str, deadline: float) -> dict[str, Any]:
    """The answer of an HTTP server here."""
    try:
        with urllib.request.urlopen(  # noqa: S310 - the lab says which: http, of this machine
            url, timeout=max(1.0, deadline - time.monotonic())
        ) as answer:
            return {"status": answer.status, "text": answer.read(4096).decode(errors="replace").strip()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "text": error.read(4096).decode(errors="replace").strip()}
    except OSError as error:
        return {"status": 0, "text": str(getattr(error, "reason", error))}


def carriers() -> dict[str, int]:
    """How often each device has lost its carrier since it was made."""
    lost = ((path, read(str(path))) for path in Path("/sys/class/net").glob("*/carrier_down_count"))
    return {path.parent.name: int(text) for path, text in lost if text.isdigit()}


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """All of it."""
    wall, boot = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    deadline = time.monotonic() + float(asked["seconds"])
    running = {name: Command(argv) for name, argv in asked["commands"].items()}
    dialled = {name: dial(host, port) for name, (host, port) in asked["reach"].items()}
    settings = Path("/proc/sys")
    paths = [path for pattern in asked["sysctls"] for path in settings.glob(pattern)]
    events = {
        unit: read(f"/sys/fs/cgroup/system.slice/{unit}.service/memory.events") for unit in asked["units"]
    }
    ended = {name: command.end(deadline) for name, command in running.items()}
    return {
        "wall": wall,
        "boot": boot,
        "zone": time.localtime(wall).tm_gmtoff,
        "sysctls": {str(path.relative_to(settings)): read(str(path)) for path in paths},
        "processes": {unit: processes(unit) for unit in asked["units"]},
        "memory_events": {unit: dict(map(str.split, text.splitlines())) for unit, text in events.items()},
        "folders": {path: folder(path) for path in asked["folders"]},
        "carriers": carriers(),
        "snmp": read("/proc/net/snmp"),
        "legacy": read("/proc/net/ip_tables_names").split(),
        "readyz": get(asked["readyz"], deadline) if asked["readyz"] else None,
        "reach": {name: connected(connection, deadline) for name, connection in dialled.items()},
        "commands": ended,
    }


if __name__ == "__main__":
    json.dump(look(json.loads(sys.argv[1])), sys.stdout)
