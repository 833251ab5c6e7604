"""Prints the logs of all containers of this machine's Docker, each as a JSON object on a line of its own.

Arguments: how many of a log's last lines, the seconds that Docker has to name the containers, and the folder
of its files. Each log is printed as soon as it was read, so that one that hangs hides no other. Where Docker
does not answer, its files are read (https://docs.docker.com/engine/logging/drivers/json-file/).
"""

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path


def names(within: float) -> list[str]:
    """The containers that Docker knows. Raises `subprocess.SubprocessError`."""
    argv = ["docker", "ps", "--all", "--format={{.Names}}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=within).stdout.split()


def of_docker(name: str, lines: int) -> tuple[str, int]:
    """The log, standard output and standard error as they were mixed; and how `docker logs` ended."""
    done = subprocess.run(
        ["docker", "logs", "--timestamps", f"--tail={lines}", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout.decode(errors="replace"), done.returncode


def of_files(folder: Path, lines: int) -> Iterator[tuple[str, str]]:
    """Each container's name and log, from Docker's own files."""
    for config in sorted(folder.glob("*/config.v2.json")):
        name = json.loads(config.read_text())["Name"].lstrip("/")
        log = config.with_name(f"{config.parent.name}-json.log")
        if log.exists():
            with log.open(encoding="utf-8", errors="replace") as opened:
                entries = [json.loads(line) for line in deque(opened, lines)]
            yield name, "".join(f"{entry['time']} {entry['log']}" for entry in entries)


def tell(name: str, log: str, status: int, one_at_a_time: threading.Lock) -> None:
    """Print the log of one container."""
    with one_at_a_time:
        print(json.dumps({"container": name, "log": log, "status": status}), flush=True)  # noqa: T201


def main() -> None:
    """Print them all."""
    lines, within, folder = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    one_at_a_time = threading.Lock()
    try:
        found = names(within)
    except subprocess.SubprocessError:
        for name, log in of_files(folder, lines):
            tell(name, log, 0, one_at_a_time)
        return
    threads = [
        threading.Thread(target=lambda name=name: tell(name, *of_docker(name, lines), one_at_a_time))
        for name in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
