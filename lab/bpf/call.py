"""bpf(2), which Python's library does not have."""

import ctypes
import errno
import os
import platform

__all__ = ["bpf"]

SYS_BPF = {"x86_64": 321, "aarch64": 280}  # the kernel's syscall tables


def bpf(command: int, attributes: bytes) -> int:
    """What the kernel answers. Raises `OSError`."""
    number = SYS_BPF.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"the number of bpf(2) on a {platform.machine()} is not known")
    given = ctypes.create_string_buffer(attributes, len(attributes))
    answer = int(ctypes.CDLL(None, use_errno=True).syscall(number, command, given, len(attributes)))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
