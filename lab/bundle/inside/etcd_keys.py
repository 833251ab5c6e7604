"""Prints everything in etcd's v3 store: the JSON of `etcdctl get`, with what is left of each lease.

A member without a quorum cannot answer for the cluster. Then it is asked for what it has itself
(serializable), and `consistency` is s instead of l. Argument: the seconds that etcdctl waits for an answer.
"""

import json
import os
import subprocess
import sys


def etcdctl(*words: str) -> "subprocess.CompletedProcess[str]":
    """How it ended, and what it printed."""
    environment = {**os.environ, "ETCDCTL_API": "3"}
    return subprocess.run(
        ["etcdctl", f"--command-timeout={sys.argv[1]}s", *words, "--write-out=json"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def lease(number: int) -> dict[str, int] | None:
    """Its remaining and its granted time in seconds; None where etcd does not tell."""
    done = etcdctl("lease", "timetolive", format(number, "x"))
    if done.returncode != 0:
        return None
    told = json.loads(done.stdout)
    return {"ttl": told["ttl"], "granted": told.get("granted-ttl")}


def main() -> None:
    """Print it, or the reason why not."""
    for consistency in ("l", "s"):
        done = etcdctl("get", "", "--prefix", f"--consistency={consistency}")
        if done.returncode == 0:
            break
    else:
        sys.exit(done.stderr)
    answer = {**json.loads(done.stdout), "consistency": consistency}
    held = sorted({item["lease"] for item in answer.get("kvs", ()) if item.get("lease")})
    answer["leases"] = {str(number): lease(number) for number in held} if consistency == "l" else {}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
