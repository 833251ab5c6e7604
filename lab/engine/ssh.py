"""An engine behind ssh: its socket, forwarded to one of ours by this machine's ssh.

One connection for all of them: ssh takes a third of a second to log in, and one `lab up` makes hundreds. That
needs nothing on the far machine but its sshd; `docker system dial-stdio` needs Docker's own program there.
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

# The folder goes with ssh, and ssh with its standard input, which we hold: however we end, nothing stays.
RUN = 'ssh "$@"; rm -rf "$0"'


def argv(endpoint: Endpoint, socket: Path) -> list[str]:
    """The arguments of ssh that make `socket` the engine's, for as long as its standard input is open."""
    settings = {
        "ConnectTimeout": f"{SSH_LOGIN.seconds:.0f}",
        "ServerAliveInterval": "15",
        # Whatever ssh_config(5) says of that host: a connection of our own, with one command.
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
    """ssh in the background, from the first `socket` on until `close`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._log: IO[bytes] | None = None

    def socket(self) -> Path:
        """The socket, once it is there. Raises `LabError` with what ssh said."""
        with self._lock:
            if self._process is None:
                self._process = self._start()
            return self._folder / "engine"

    def _start(self) -> "subprocess.Popen[bytes]":
        if shutil.which("ssh") is None:
            raise Unfit(f"{self._endpoint.named}, and this machine has no ssh",
                        hint="As root, on Debian or Ubuntu: apt-get install openssh-client")  # fmt: skip
        self._folder = Path(tempfile.mkdtemp(prefix="lab-ssh-"))
        socket = self._folder / "engine"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - read for as long as ssh runs
        # A session of its own: Ctrl-C is for us, and what we made is removed over this connection.
        process = subprocess.Popen(
            ["sh", "-c", RUN, str(self._folder), *argv(self._endpoint, socket)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._log, start_new_session=True,
        )  # fmt: skip

        def listens() -> bool | wait.NotYet:
            if process.poll() is not None:
                raise LabError(f"ssh to {self._endpoint.host}: {self.said() or 'it ended without a word'}")
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
        """The last that ssh said, in one line."""
        if self._log is None:
            return ""
        # Without moving the place at which ssh writes on: the two of us share it.
        text = os.pread(self._log.fileno(), 1 << 16, 0).decode(errors="replace")
        return "; ".join(line.strip() for line in text.splitlines()[-3:])

    def close(self) -> None:
        """End ssh."""
        with self._lock:
            if self._process is not None:
                self._end(self._process)
                self._process = None
            if self._log is not None:
                self._log.close()
                self._log = None
