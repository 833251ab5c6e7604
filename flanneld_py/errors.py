"""The one exception that any part of the daemon may raise to end it."""

__all__ = ["Fatal"]


class Fatal(Exception):
    """The daemon cannot go on: exit status 1.

    The message is one line: what was attempted, what was seen, and what to do.
    """
