"""Measure durations."""

import time
from collections.abc import Callable


def durations_ms(work: Callable[[], object], runs: int) -> list[float]:
    """Milliseconds of each run, after two that warm up."""
    work()
    work()
    durations = []
    for _ in range(runs):
        begun_at_s = time.perf_counter()
        work()
        durations.append((time.perf_counter() - begun_at_s) * 1000)
    return durations
