"""How the C library hands out memory."""

import ctypes

__all__ = ["share_one_arena"]

M_ARENA_MAX = -8  # malloc.h of glibc


def share_one_arena() -> None:
    """Have all threads allocate from one place; to be called before there are any.

    glibc gives each thread one of its own, which is for threads that run at the same time. Ours, and
    gRPC's that wake them, take turns: among 4,000 peers that is 2.5 MB for nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has no such thing
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
