"""Prints what etcd's v3 store has below a prefix, in etcdctl's JSON, and what each lease has left.

    leases PREFIX

etcd keeps the remaining time with its own lease and not with the key, so each is asked for, all at once.
This file runs on a machine of the lab.
"""

import json
import subprocess
import sys
from typing import Any


def begin(*words: str) -> "subprocess.Popen[bytes]":
    """Ask etcd."""
    return subprocess.Popen(["etcdctl", *words, "-w", "json"], stdout=subprocess.PIPE)


def end(asked: "subprocess.Popen[bytes]") -> "dict[str, Any]":
    """Its answer; without one, that is the end, and etcdctl has said why."""
    printed, _ = asked.communicate()
    if asked.returncode != 0:
        sys.exit(1)
    answer: dict[str, Any] = json.loads(printed)
    return answer


if __name__ == "__main__":
    found = end(begin("get", "--prefix", sys.argv[1]))
    held = {entry["lease"] for entry in found.get("kvs", ()) if entry.get("lease")}
    asked = {lease: begin("lease", "timetolive", format(lease, "x")) for lease in held}
    found["ttl"] = {str(lease): end(question)["ttl"] for lease, question in asked.items()}
    sys.stdout.write(json.dumps(found))
