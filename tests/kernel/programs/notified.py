"""Gives a program a $NOTIFY_SOCKET (sd_notify(3)), and writes what comes there to standard error, its log."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

path = f"/run/notify.{os.getpid()}"
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(path)


def listen():
    while True:
        state = listener.recv(4096).decode()
        print("NOTIFY", state, Path(sys.argv[1]).exists(), file=sys.stderr, flush=True)


threading.Thread(target=listen, daemon=True).start()
sys.exit(subprocess.call(sys.argv[2:], env={**os.environ, "NOTIFY_SOCKET": path}))
