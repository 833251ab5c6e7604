"""Which rules marked packets meet: what `nft monitor trace` shows, heard from the kernel itself.

A table that belongs to us has the kernel tell of packets with a mark. It has an owner (nft(8), table flags):
whatever ends us, the kernel takes it away with the socket that it was made by.
"""

import ctypes
import errno
import socket
import threading
from collections.abc import Iterable, Iterator

__all__ = ["RuleTap"]

LIBRARY = "libnftables.so.1"  # what nft itself is made with

# linux/netlink.h and linux/netfilter/nfnetlink.h.
NETLINK_NETFILTER, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 12, 270, 1
NFNLGRP_NFTRACE = 9

SO_RCVBUFFORCE = 33  # asm-generic/socket.h

BUFFER = 1 << 24
"""Bytes that wait for us: a message for each rule that each packet meets, of some 200 bytes."""

MESSAGE = 1 << 16

one_at_a_time = threading.Lock()
"""The library has tables that all of its contexts share."""


class RuleTap:
    """A socket in the calling thread's network namespace, and the tables that have it hear something."""

    def __init__(self, scripts: Iterable[str]) -> None:
        # Open before the first packet can be told of.
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTRACE)
        self._socket.setblocking(False)
        self._tables = _Tables()
        self.refused = [why for script in scripts if (why := self._tables.add(script))]
        """What the kernel, or nft, has said against some of them."""

    def told(self) -> Iterator[bytes]:
        """The kernel's messages so far, in their order."""
        while True:
            try:
                yield self._socket.recv(MESSAGE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # it had more to tell than we have room for
                    raise

    def close(self) -> None:
        """End it; the kernel has removed the tables when this returns."""
        self._tables.close()
        self._socket.close()


class _Tables:
    """A context of libnftables: its socket owns the tables that are made by it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY)
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        self._library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        with one_at_a_time:
            self._context = ctypes.c_void_p(self._library.nft_ctx_new(0))
            self._library.nft_ctx_buffer_error(self._context)

    def add(self, script: str) -> str:
        """Have nft do something; what it says against it, or nothing."""
        with one_at_a_time:
            if self._library.nft_run_cmd_from_buffer(self._context, script.encode()) == 0:
                return ""
            said = self._library.nft_ctx_get_error_buffer(self._context).decode(errors="replace")
        return said.strip().split("\n")[0] or "nft refuses, and does not say why"

    def close(self) -> None:
        with one_at_a_time:
            self._library.nft_ctx_free(self._context)
