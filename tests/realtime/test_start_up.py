"""How long the start took, in words."""

import time

from realtime.live.start_up import StartUp, process_began_at_s


def test_the_largest_parts_come_first_and_the_small_ones_not_at_all() -> None:
    start = StartUp(began_at_s=100.0)
    for part, at_s in (("imports", 100.4), ("networks", 101.9), ("server", 101.92), ("first picture", 102.1)):
        start.done(part, at_s)
    assert str(start) == "The first picture took 2.1 s (networks 1.5, imports 0.4, first picture 0.2)."


def test_a_process_began_before_its_first_line() -> None:
    assert process_began_at_s() < time.perf_counter()
    assert process_began_at_s() > time.perf_counter() - 24 * 3600
