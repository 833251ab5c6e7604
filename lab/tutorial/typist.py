"""Types at a prompt, as the reader of the tutorial does: the password, then the command to quit.

This file runs on a node of the lab and imports nothing else of this project: `python3 -c TEXT SECONDS
PASSWORD COMMAND...`. It prints what the terminal shows, and exits with the command's status.
"""

import os
import pty
import select
import sys
import time


def converse(argv: list[str], answers: list[tuple[bytes, bytes]], seconds: float) -> tuple[bytes, int]:
    """Run a command on its own terminal; answer each prompt, in this order.

    The command is killed if the whole conversation takes longer than `seconds`.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell, on purpose
    seen, read, deadline = b"", 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            data = os.read(terminal, 4096)
        except OSError:  # EIO: the command has exited and its side of the terminal is closed (pty(7))
            break
        seen += data
        if answers and answers[0][0] in seen[read:]:
            read = len(seen)
            os.write(terminal, answers.pop(0)[1] + b"\n")
    else:
        os.kill(child, 9)
    return seen, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    typed = [(b"password:", sys.argv[2].encode()), (b"mysql>", b"\\q")]
    output, status = converse(sys.argv[3:], typed, float(sys.argv[1]))
    sys.stdout.buffer.write(output)
    sys.exit(status if status >= 0 else 128 - status)
