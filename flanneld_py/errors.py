"""The two exceptions that end the daemon from anywhere, and the exit statuses."""

from enum import IntEnum

__all__ = ["Exit", "Fatal", "Stopped"]


class Exit(IntEnum):
    """Exit statuses, one for each remedy. flannel's own daemons have 0, 1 and 2 only."""

    OK = 0
    """Told to end, or it did what was asked."""
    INTERNAL = 1
    """None of the below: a defect."""
    USAGE = 2
    """A flag, variable or argument: correct it."""
    KERNEL = 3
    """A privilege, or something that this kernel or machine lacks: grant it, or install it."""
    INTERFACE = 4
    """No interface or address that fits: name one."""
    CONFIG = 5
    """The network configuration: correct it. The daemon waits for another one while it has no lease."""
    TAKEN = 6
    """A port or a device that something else uses: free it."""
    FILE = 7
    """A file that cannot be read or written: check its path and mode."""
    REFUSED = 8
    """The registry denies access: check certificates, user, password. Of commands only."""
    UNAVAILABLE = 9
    """The registry does not answer: start it, or name another. Of commands only: the daemon waits."""


class Fatal(Exception):
    """The daemon cannot go on. `code` is the exit status: an `Exit`.

    The message is one line: what was attempted, what was seen, and what to do.
    """

    def __init__(self, message: str, *, code: int = Exit.INTERNAL) -> None:
        super().__init__(message)
        self.code = code


class Stopped(Exception):
    """The daemon was asked to end: what was under way is abandoned, without an error message."""
