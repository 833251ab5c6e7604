"""An engine behind ssh: this machine's ssh forwards its socket to a local one.

All requests share one connection: an ssh login takes a third of a second, and one `lab up` makes hundreds of
requests. The remote machine needs only its sshd, whereas `docker system dial-stdio` needs Docker's client
there.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

from lab import wait
from lab.deadlines import SSH_LOGIN
from lab.engine.endpoint import Endpoint
from lab.errors import LabError, Unfit

__all__ = ["Forwarding", "argv"]

# The folder is removed when ssh ends, and ssh ends with its standard input, which we hold: however we end,
# nothing stays.
RUN = 'ssh "$@"; rm -rf "$0"'


def argv(endpoint: Endpoint, socket: Path) -> list[str]:
    """Return the arguments of ssh that forward `socket` while its standard input is open."""
    settings = {
        "ConnectTimeout": f"{SSH_LOGIN.seconds:.0f}",
        "ServerAliveInterval": "15",
        # Override ssh_config(5): a separate connection, with one command.
        "ControlMaster": "no",
        "ControlPath": "none",
        "RemoteCommand": "none",
        "ExitOnForwardFailure": "no",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    user = ["-l", endpoint.user] if endpoint.user else []
    port = ["-p", str(endpoint.port)] if endpoint.port else []
    return ["-T", *options, "-L", f"{socket}:{endpoint.path}", *user, *port, "--", endpoint.host, "cat"]


class Forwarding:
    """ssh in the background, from the first call of `socket` until `close`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._log: IO[bytes] | None = None

    def socket(self) -> Path:
        """Return the local socket once it exists. Raises `LabError` with ssh's messages."""
        with self._lock:
            if self._process is None:
                self._process = self._start()
            return self._folder / "engine"

    def _start(self) -> "subprocess.Popen[bytes]":
        if shutil.which("ssh") is None:
            raise Unfit(f"{self._endpoint.named}, but this machine has no ssh",
                        hint="As root, on Debian or Ubuntu: apt-get install openssh-client")  # fmt: skip
        self._folder = Path(tempfile.mkdtemp(prefix="lab-ssh-"))
        socket = self._folder / "engine"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - read for as long as ssh runs
        # A separate session: Ctrl-C is for us only, and cleaning up needs this connection.
        process = subprocess.Popen(
            ["sh", "-c", RUN, str(self._folder), *argv(self._endpoint, socket)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._log, start_new_session=True,
        )  # fmt: skip

        def listens() -> bool | wait.NotYet:
            if process.poll() is not None:
                raise LabError(
                    f"ssh to {self._endpoint.host}: {self.said() or 'it exited without a message'}"
                )
            return socket.exists() or wait.NotYet(self.said() or "nothing")

        try:
            wait.until(listens, what=f"ssh to log in to {self._endpoint.host}", timeout=SSH_LOGIN.seconds)
        except BaseException:
            self._end(process)
            raise
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        with process, suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        shutil.rmtree(self._folder, ignore_errors=True)

    def said(self) -> str:
        """Return ssh's last messages in one line."""
        if self._log is None:
            return ""
        # pread does not move the file offset, which ssh shares for writing.
        text = os.pread(self._log.fileno(), 1 << 16, 0).decode(errors="replace")
        return "; ".join(line.strip() for line in text.splitlines()[-3:])

    def close(self) -> None:
        """Stop ssh."""
        with self._lock:
            if self._process is not None:
                self._end(self._process)
                self._process = None
            if self._log is not None:
                self._log.close()
                self._log = None
