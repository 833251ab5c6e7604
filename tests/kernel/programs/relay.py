"""Relays one TCP port to another machine's: a second etcd endpoint that can be stopped."""

import socket
import threading


def pump(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)


server = socket.create_server(("0.0.0.0", 4001))
print("listening", flush=True)
while True:
    near, _ = server.accept()
    far = socket.create_connection(("192.168.50.1", 2379))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
