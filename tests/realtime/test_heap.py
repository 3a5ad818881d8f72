"""Heaps of the C library, in processes of their own: what is said there once holds for the rest."""

import subprocess
import sys

import pytest

from realtime.live.heap import HEAPS, share_heaps

COUNT = """
import ctypes, sys, threading
from realtime.live.heap import share_heaps

if "shared" in sys.argv:
    assert share_heaps()
c = ctypes.CDLL(None)
c.malloc.restype, c.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
together = threading.Barrier(9)

def allocate():
    c.malloc(1000)
    together.wait()

for _ in range(8):
    threading.Thread(target=allocate).start()
together.wait()
file = ctypes.c_void_p(c.fopen(b"/dev/stdout", b"w"))
c.malloc_info(0, file)
c.fclose(file)
"""


def heaps(*arguments: str) -> int:
    """So many heaps has a process with nine threads."""
    done = subprocess.run([sys.executable, "-c", COUNT, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_all_threads_share_a_few_heaps() -> None:
    assert heaps() > HEAPS
    assert heaps("shared") == HEAPS


def test_other_systems_do_as_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not share_heaps()
