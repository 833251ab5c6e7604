"""Prints the logs of all containers of this machine's Docker, each as a JSON object on a line of its own.

Argument: how many of a log's last lines. Each is printed as soon as it was read, so that one that hangs hides
no other.
"""

import json
import subprocess
import sys
import threading


def tell(name: str, lines: str, one_at_a_time: threading.Lock) -> None:
    """Print the log of one container, standard output and standard error as they were mixed."""
    done = subprocess.run(
        ["docker", "logs", "--timestamps", f"--tail={lines}", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    told = {"container": name, "log": done.stdout.decode(errors="replace"), "status": done.returncode}
    with one_at_a_time:
        print(json.dumps(told), flush=True)  # noqa: T201 - what it is for


def main() -> None:
    """Print them all."""
    listed = subprocess.run(
        ["docker", "ps", "--all", "--format={{.Names}}"], capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        sys.exit(listed.stderr)
    one_at_a_time = threading.Lock()
    threads = [
        threading.Thread(target=tell, args=(name, sys.argv[1], one_at_a_time))
        for name in listed.stdout.split()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
