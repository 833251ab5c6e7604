"""A timer to poll together with other descriptors, in microseconds; poll(2) has milliseconds."""

import ctypes
import os
import time
from contextlib import suppress
from typing import Final

__all__ = ["Timer"]

TFD_TIMER_ABSTIME: Final = 1  # linux/timerfd.h

_libc = ctypes.CDLL(None, use_errno=True)  # the os module has timerfd since Python 3.13


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class Timer:
    """A descriptor that becomes readable at a time of `clock.now`: timerfd_create(2). Raises OSError."""

    def __init__(self) -> None:
        flags = os.O_NONBLOCK | os.O_CLOEXEC  # equal to TFD_NONBLOCK and TFD_CLOEXEC
        self._descriptor = _done(_libc.timerfd_create(time.CLOCK_BOOTTIME, flags))
        self._at: float | None = None

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._descriptor

    def set(self, at: float | None) -> None:
        """Make it readable once, at this time; None: never."""
        if at == self._at:
            return
        self._at = at
        spec = _Itimerspec()
        if at is not None:
            seconds, part = divmod(max(at, 0.0), 1)
            # A time of zero would disarm the timer.
            spec.it_value = _Timespec(int(seconds), max(1, int(part * 1e9)))
        _done(_libc.timerfd_settime(self._descriptor, TFD_TIMER_ABSTIME, ctypes.byref(spec), None))

    def clear(self) -> None:
        """Consume the expiry: it is not readable again until set again."""
        self._at = None
        with suppress(BlockingIOError):  # it has been set to another time since
            os.read(self._descriptor, 8)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


def _done(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
