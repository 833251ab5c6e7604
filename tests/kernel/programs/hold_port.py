"""Holds a UDP port."""

import socket
import sys
import threading

taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taken.bind(("0.0.0.0", int(sys.argv[1])))
print("bound", flush=True)
threading.Event().wait()
