"""Runs inside the sandbox and does what lines of JSON on its standard input say, one after another.

{"run": [ARGV]}              -> {"exit": N, "out": TEXT, "err": TEXT}, when it has ended
{"spawn": [ARGV], "log": F}  -> {"pid": N}, at once; its output goes to the file
{"status": PID}              -> {"exit": N}, or null while a spawned program runs

It starts a program in a few milliseconds, where the engine's exec needs a hundred.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

spawned: dict[int, subprocess.Popen[bytes]] = {}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    if "spawn" in request:
        with Path(request["log"]).open("wb") as log:
            process = subprocess.Popen(
                request["spawn"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        spawned[process.pid] = process
        return {"pid": process.pid}
    if "status" in request:
        return {"exit": spawned[request["status"]].poll()}
    try:
        done = subprocess.run(
            request["run"], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        return {"exit": 127, "out": "", "err": str(error)}
    return {"exit": done.returncode, "out": done.stdout, "err": done.stderr}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
