"""Does what lines of JSON on its standard input say, one after another; a program starts in milliseconds.

{"run": [ARGV], "timeout": S, "pids": [PID]}  -> {"exit": N, "out": TEXT, "err": TEXT}, when it has ended;
                                                 with `pids` also "before" and "after", see `look`
{"spawn": [ARGV], "log": FILE}                -> {"pid": N}, at once; its output goes to the file
{"status": PID}                               -> {"exit": N}, or null while a spawned program runs
{"kill": PID}                                 -> {"exit": N}, when it has ended of SIGKILL
{"replace": PID, "spawn": [ARGV], "log": FILE} -> {"pid": N, "at": S}: killed by SIGKILL, and the other one
                                                 spawned at once, at S (seconds of CLOCK_MONOTONIC)
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

spawned: dict[int, subprocess.Popen[bytes]] = {}


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
        done = subprocess.run(
            request["run"],
            stdin=subprocess.DEVNULL,
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


def spawn(request: dict[str, Any]) -> int:
    """Start a program; its process id."""
    with Path(request["log"]).open("ab") as log:
        process = subprocess.Popen(
            request["spawn"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    spawned[process.pid] = process
    return process.pid


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what one line says."""
    if "run" in request:
        return run(request)
    if "replace" in request:
        at = time.monotonic()
        spawned[request["replace"]].kill()
        spawned[request["replace"]].wait()
        return {"pid": spawn(request), "at": at}
    if "spawn" in request:
        return {"pid": spawn(request)}
    if "status" in request:
        return {"exit": spawned[request["status"]].poll()}
    spawned[request["kill"]].kill()
    return {"exit": spawned[request["kill"]].wait()}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
