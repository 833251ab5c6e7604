"""Detaches the program that a process has at a device's ingress. Arguments: process, index of the device."""

import ctypes
import os
import pathlib
import re
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)


def bpf(
    command, argument
):  # bpf(2); commands are linux/bpf.h's, the call's number is that of x86-64 or arm64
    attr = ctypes.create_string_buffer(struct.pack("=I", argument), 128)
    result = libc.syscall({"x86_64": 321, "aarch64": 280}[os.uname().machine], command, attr, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])


for info in pathlib.Path("/proc", sys.argv[1], "fdinfo").iterdir():
    text = info.read_text()
    if "attach_type:\ttcx_ingress" in text or "attach_type:\t46" in text:
        index = number(r"ifindex:\t(\d+)", text)
        if index == int(sys.argv[2]):
            link = bpf(30, number(r"link_id:\t(\d+)", text))  # BPF_LINK_GET_FD_BY_ID
            bpf(34, link)  # BPF_LINK_DETACH
            sys.exit()
sys.exit("no such link")
