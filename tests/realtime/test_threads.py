"""Threads that stand and fall together."""

import threading
import time

import pytest

from realtime.live.threads import Threads
from tests.support.waiting import HANG_S


def wait_for(event: threading.Event) -> None:
    event.wait()


def test_when_one_ends_all_have_to() -> None:
    go, ended = threading.Event(), threading.Event()

    def other() -> None:
        threads.ending.wait()
        ended.set()

    threads = Threads({"one": lambda: wait_for(go), "other": other})
    threads.start()
    assert not threads.wait(0.01)
    go.set()
    assert threads.wait(HANG_S)
    assert ended.wait(HANG_S)


def test_what_ends_one_is_raised_where_their_end_is_awaited() -> None:
    def breaks() -> None:
        raise OSError("a cable")

    threads = Threads({"breaks": breaks})
    threads.start()
    threads.ending.wait(HANG_S)
    with pytest.raises(OSError, match="a cable"):
        threads.wait(0)


def test_one_that_hangs_is_left_behind() -> None:
    released = threading.Event()
    threads = Threads({"hangs": lambda: wait_for(released)})
    threads.start()
    begun_at_s = time.perf_counter()
    threads.join(0.05)
    assert time.perf_counter() - begun_at_s < HANG_S
    released.set()


def test_those_that_were_never_started_are_not_waited_for() -> None:
    Threads({"never": lambda: None}).join(HANG_S)
