"""Does what lines of JSON on its standard input say, one after another; a program starts in milliseconds.

{"run": [ARGV], "timeout": S, "pids": [PID], "netns": NAME, "input": TEXT} -> {"exit": N, "out": TEXT,
                                                 "err": TEXT}, when it has ended; with `pids` also "before"
                                                 and "after", see `look`; in a network namespace it keeps
                                                 our /sys, as with `ip -n`
{"spawn": [ARGV], "log": FILE}                -> {"pid": N}, at once; its output goes to the file
{"replace": PID, "spawn": [ARGV], "log": FILE} -> {"pid": N, "at": S}: killed by SIGKILL, and the other one
                                                 spawned at once, at S (seconds of CLOCK_MONOTONIC)
{"load": PACKAGE, "path": FOLDER}             -> {}, when all its modules are imported, for `fork`
{"fork": [ARGV], "log": FILE, "err": FILE, "netns": NAME, "env": {}} -> {"pid": N}: as `spawn`, ARGV being a
                                                 Python program; `err`, unless "", is for its errors alone
{"post": PATH, "to": ADDRESS, "body": TEXT}   -> {"status": N, "text": TEXT}: an HTTP request, `to` IP:PORT
{"read": FILE}                                -> {"text": TEXT}, or null where there is none
{"says": FILE, "text": TEXT, "times": N, "timeout": S} -> {"said": whether it has come to, "log": TEXT if not}
{"signal": NAME, "pid": PID}                  -> {}; of STOP when the process stands with all its threads
{"status": PID}                               -> {"exit": N}, or null while a started program runs
{"ends": PID, "timeout": S}                   -> the same, waited for
{"kill": PID}                                 -> {"exit": N}, when it has ended of SIGKILL
{"clock": true}                               -> {"boot": ID, "at": S, "wall": S}: the kernel's boot, its
                                                 CLOCK_BOOTTIME, and the time of day
{"clear": [PID]}                              -> {}: killed with their children, by their session, and ended

`fork` saves a program of many modules their import: the agent has done that, and each program begins as a
copy of it, in a session, a network namespace, and with standard streams and an environment of its own.
"""

import ctypes
import gc
import http.client
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000  # linux/sched.h
MS_RDONLY, MS_REC, MS_SLAVE = 1, 1 << 14, 1 << 19  # linux/mount.h
MNT_DETACH = 2  # fs.h of the kernel

IN_MODIFY = 2  # linux/inotify.h

IMMORTAL = 0xFFFFFFFF
"""_Py_IMMORTAL_REFCNT of Include/object.h, in the versions that have it in the first 64 bits of an object."""

IMMORTAL_IN = ((3, 12), (3, 13))

TEMPORARY = (types.FrameType, types.GeneratorType, types.CoroutineType)
"""What must be free to end."""

ENVIRONMENT = dict(os.environ)
"""Of programs: what is loaded may change our own."""

library = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """A function of the C library."""
    result = int(getattr(library, name)(*arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")
    return result


class Forked:
    """A copy of ourselves; the part of `subprocess.Popen` that is used here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int | None:
        """Its exit status, waited for."""
        return self._reap(0)

    def kill(self) -> None:
        """End it."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def _reap(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


@contextmanager
def network(name: str) -> Iterator[None]:
    """What is started meanwhile is in this network namespace; "": in ours."""
    if not name:
        yield
        return
    with Path("/proc/self/ns/net").open() as ours, Path(f"/run/netns/{name}").open() as there:
        call("setns", there.fileno(), CLONE_NEWNET)
        try:
            yield
        finally:
            call("setns", ours.fileno(), CLONE_NEWNET)


started: dict[int, "subprocess.Popen[bytes] | Forked"] = {}


def look(pids: list[int]) -> dict[str, str]:
    """Processor times so far: /proc/stat's first line as `machine`, and /proc/PID/stat."""
    with Path("/proc/stat").open() as file:
        seen = {"machine": file.readline()}
    return seen | {str(pid): Path(f"/proc/{pid}/stat").read_text() for pid in pids}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run a program to its end, or for so many seconds."""
    pids = request.get("pids")
    try:
        before = look(pids) if pids is not None else {}
        with network(request.get("netns", "")):
            done = subprocess.run(
                request["run"],
                env=ENVIRONMENT,
                input=request.get("input", ""),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=request["timeout"],
                check=False,
            )
        after = look(pids) if pids is not None else {}
    except OSError as error:  # no such program, or one of the processes has ended
        return {"exit": 127, "out": "", "err": str(error)}
    except subprocess.TimeoutExpired:
        return {"exit": 124, "out": "", "err": f"not done after {request['timeout']} s"}
    return {
        "exit": done.returncode, "out": done.stdout, "err": done.stderr, "before": before, "after": after,
    }  # fmt: skip


def spawn(request: dict[str, Any]) -> dict[str, Any]:
    """Start a program."""
    with Path(request["log"]).open("ab") as log:
        process = subprocess.Popen(
            request["spawn"],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    started[process.pid] = process
    return {"pid": process.pid}


def replace(request: dict[str, Any]) -> dict[str, Any]:
    """Kill a program, and start another one at once."""
    at = time.monotonic()
    started[request["replace"]].kill()
    started[request["replace"]].wait()
    return {**spawn(request), "at": at}


def load(request: dict[str, Any]) -> dict[str, Any]:
    """Import all of a package, for those that are forked from now on."""
    sys.path.insert(0, request["path"])
    package = importlib.import_module(request["load"])
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    threads = list(Path("/proc/self/task").iterdir())
    if len(threads) > 1:  # a fork would have one of them, and the locks of all
        raise RuntimeError(f"importing {request['load']} has begun threads: {len(threads)}")
    gc.collect()
    immortalize()
    gc.freeze()  # or the first collection in each copy would write to, and so copy, all of our memory
    return {}


def immortalize() -> None:
    """Have nobody count references to what there is now, as PEP 683 has it for None.

    A copy of this process that counts them writes to, and so copies, a third of all pages. Where Python is
    none that is known to keep its counts like this, copies are larger, and that is all.
    """
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in IMMORTAL_IN or sys.maxsize < 2**32:
        return
    found: dict[int, Any] = {}
    waiting = gc.get_objects()
    while waiting:
        each = waiting.pop()
        if id(each) not in found and not isinstance(each, TEMPORARY):
            found[id(each)] = each
            waiting.extend(gc.get_referents(each))
    for address in found.keys() - {id(found), id(waiting)}:
        ctypes.c_uint64.from_address(address).value = IMMORTAL


def enter(netns: str) -> None:
    """Be in a network namespace, with its /sys, as ip-netns(8) has its commands be."""
    with Path(f"/run/netns/{netns}").open() as file:
        call("setns", file.fileno(), CLONE_NEWNET)
    call("unshare", CLONE_NEWNS)
    call("mount", b"", b"/", b"none", ctypes.c_ulong(MS_SLAVE | MS_REC), None)
    call("umount2", b"/sys", MNT_DETACH)
    read_only = MS_RDONLY if os.statvfs("/sys").f_flag & os.ST_RDONLY else 0
    call("mount", netns.encode(), b"/sys", b"sysfs", ctypes.c_ulong(read_only), None)


def become(request: dict[str, Any], ready: int) -> None:
    """Be another program, in the process that was forked for it."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    log, err = (
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for path in (request["log"], request["err"] or request["log"])
    )
    for old, new in ((null, 0), (log, 1), (err, 2)):
        os.dup2(old, new)
        os.close(old)
    started.clear()
    if request["netns"]:
        enter(request["netns"])
    os.environ.update(request["env"])
    sys.argv = request["fork"]
    Path("/proc/self/comm").write_text(Path(sys.argv[0]).name[:15])
    os.close(ready)
    runpy.run_path(sys.argv[0], run_name="__main__")


def post(request: dict[str, Any]) -> dict[str, Any]:
    """Ask an HTTP server."""
    connection = http.client.HTTPConnection(request["to"], timeout=request["timeout"])
    with closing(connection):
        connection.request("POST", request["post"], request["body"])
        answer = connection.getresponse()
        return {"status": answer.status, "text": answer.read().decode(errors="replace")}


def read(request: dict[str, Any]) -> dict[str, Any]:
    """A file's text."""
    try:
        return {"text": Path(request["read"]).read_text(errors="replace")}
    except OSError:
        return {"text": None}


def says(request: dict[str, Any]) -> dict[str, Any]:
    """Wait until a file has a text so many times."""
    deadline = time.monotonic() + request["timeout"]
    path, log = Path(request["says"]), b""
    changes = call("inotify_init")
    try:
        call("inotify_add_watch", changes, bytes(path), IN_MODIFY)
        with path.open("rb") as file:
            while True:
                left = deadline - time.monotonic()
                log += file.read()
                if log.count(request["text"].encode()) >= request["times"]:
                    return {"said": True}
                if left <= 0:
                    return {"said": False, "log": log.decode(errors="replace")}
                if select.select([changes], [], [], left)[0]:
                    os.read(changes, 4096)
    finally:
        os.close(changes)


def send(request: dict[str, Any]) -> dict[str, Any]:
    """Send a signal."""
    number = signal.Signals[f"SIG{request['signal']}"]
    os.kill(request["pid"], number)
    if number == signal.SIGSTOP:  # which each of its threads does when it runs next
        os.waitid(os.P_PID, request["pid"], os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return {}


def ends(request: dict[str, Any]) -> dict[str, Any]:
    """Wait for a program's end."""
    process = started[request["ends"]]
    if process.poll() is None:
        descriptor = os.pidfd_open(process.pid)
        select.select([descriptor], [], [], request["timeout"])
        os.close(descriptor)
    return {"exit": process.poll()}


def clear(request: dict[str, Any]) -> dict[str, Any]:
    """End programs with their children."""
    for pid in request["clear"]:
        with suppress(ProcessLookupError):  # most have ended already
            os.killpg(pid, signal.SIGKILL)
    for pid in request["clear"]:
        started.pop(pid).wait()
    return {}


def clock(_request: dict[str, Any]) -> dict[str, Any]:
    """What its clocks show."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {"boot": boot, "at": time.clock_gettime(time.CLOCK_BOOTTIME), "wall": time.time()}


def status(request: dict[str, Any]) -> dict[str, Any]:
    """Whether a program runs."""
    return {"exit": started[request["status"]].poll()}


def kill(request: dict[str, Any]) -> dict[str, Any]:
    """End a program."""
    started[request["kill"]].kill()
    return {"exit": started[request["kill"]].wait()}


ACTS = {
    "run": run, "replace": replace, "spawn": spawn, "load": load, "post": post, "read": read, "says": says,
    "signal": send, "status": status, "ends": ends, "kill": kill, "clear": clear,
    "clock": clock,
}  # fmt: skip
"""By the key that a request begins with."""


def main() -> None:
    """Answer until there is an empty line or none; in a process that was forked, be that program."""
    for line in sys.stdin:
        if not line.strip():
            return
        request = json.loads(line)
        kind = next(iter(request))
        if kind == "fork":
            begun, ready = os.pipe()
            pid = os.fork()
            if not pid:
                os.close(begun)
                become(request, ready)
                return
            os.close(ready)
            os.read(begun, 1)  # nothing, when it has begun
            os.close(begun)
            started[pid] = Forked(pid)
            answer: dict[str, Any] = {"pid": pid}
        else:
            try:
                answer = ACTS[kind](request)
            except Exception as error:  # noqa: BLE001 -- told to who asked, who raises it
                answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
