"""Answers each line that it is given with [BOOT_ID, MONOTONIC, WALL], until an empty one."""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Answer at once."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    while sys.stdin.readline().strip():
        sys.stdout.write(json.dumps([boot, time.monotonic(), time.time()]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
