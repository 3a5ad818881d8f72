"""Keeps a session's memory flat: glibc gives every few threads a heap of their own, and pictures that are allocated in
one thread and freed in another leave holes in all of them."""

import ctypes
import sys

HEAPS = 4
"""For all threads; with eight per core, as is usual, a session on two cores held 45 MiB more after three minutes, grew
on, and was no faster."""
M_ARENA_MAX = -8
"""From glibc's malloc.h."""


def share_heaps() -> bool:
    """Let all threads that are yet to come share `HEAPS` heaps; returns whether the system's C library does so."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and one heap
    return mallopt is not None and bool(mallopt(M_ARENA_MAX, HEAPS))
