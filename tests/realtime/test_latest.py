"""The one-place hand-over."""

import threading
import time

from realtime.live.latest import Latest


def test_the_newest_value_wins_and_drops_are_counted() -> None:
    slot = Latest[int]()
    for value in range(5):
        slot.put(value)
    assert slot.take(0) == 4
    assert slot.dropped == 4
    assert slot.take(0) is None


def test_waits_no_longer_than_it_is_told() -> None:
    begun_at_s = time.perf_counter()
    assert Latest[int]().take(0.05) is None
    assert time.perf_counter() - begun_at_s >= 0.05


def test_wakes_the_thread_that_waits() -> None:
    slot, got = Latest[int](), list[int | None]()
    thread = threading.Thread(target=lambda: got.append(slot.take(10)))
    thread.start()
    slot.put(7)
    thread.join(5)
    assert got == [7]


def test_order_holds_and_nothing_is_lost_unseen() -> None:
    slot, got = Latest[int](), list[int]()

    def drain() -> None:
        while (value := slot.take(5)) is not None and value >= 0:
            got.append(value)

    thread = threading.Thread(target=drain)
    thread.start()
    for value in range(2000):
        slot.put(value)
    time.sleep(0.05)
    slot.put(-1)
    thread.join(10)
    assert got == sorted(got)
    assert got[-1] == 1999
    assert len(got) + slot.dropped == 2000


def test_whoever_waits_until_it_is_free_replaces_nothing() -> None:
    latest = Latest[int]()
    taken: list[int] = []

    def take_all() -> None:
        while len(taken) < 50:
            value = latest.take(5)
            assert value is not None
            taken.append(value)

    taker = threading.Thread(target=take_all)
    taker.start()
    for number in range(50):
        assert latest.free(5)
        latest.put(number)
    taker.join()
    assert taken == [*range(50)]
    assert latest.dropped == 0
    latest.put(0)
    assert not latest.free(0)
