"""How long each stage takes, and the whole way: measured on every frame, always."""

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

KEEP = 3600
"""Newest durations that the percentiles are of: two minutes at 30 fps."""


class Meter:
    """Durations by stage. Each stage is written by one thread; anybody may read."""

    def __init__(self, *stages: str) -> None:
        self._durations_s = {stage: deque[float](maxlen=KEEP) for stage in stages}
        self._counts = dict.fromkeys(stages, 0)
        self._totals = dict.fromkeys(stages, (0, 0.0))
        self._begun_at_s = dict.fromkeys(stages, math.inf)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Measure a block."""
        begun_at_s = self._begun_at_s[stage] = time.perf_counter()
        try:
            yield
        finally:
            self._begun_at_s[stage] = math.inf
        self.add(stage, time.perf_counter() - begun_at_s)

    def slowest_now(self) -> tuple[str, float]:
        """The stage that has been longest in the block that it measures now, and for how many seconds; 0 if none is."""
        stage, begun_at_s = min(self._begun_at_s.items(), key=lambda item: item[1])
        return stage, max(0.0, time.perf_counter() - begun_at_s)

    def add(self, stage: str, duration_s: float) -> None:
        """Count a duration that was measured elsewhere."""
        self._durations_s[stage].append(duration_s)
        self._counts[stage] += 1
        count, total_s = self._totals[stage]
        self._totals[stage] = count + 1, total_s + duration_s

    def count(self, stage: str) -> int:
        """How many durations of a stage there have been since `clear`."""
        return self._counts[stage]

    def total(self, stage: str) -> tuple[int, float]:
        """How many durations of a stage there have been ever, and their sum in seconds."""
        return self._totals[stage]

    def clear(self) -> None:
        """Forget everything, e.g. the first, cold frames."""
        for stage, durations_s in self._durations_s.items():
            durations_s.clear()
            self._counts[stage] = 0

    def times_ms(self, stage: str, newest: int = KEEP) -> NDArray[np.float64]:
        """So many newest durations of a stage, milliseconds."""
        return 1000 * np.array(self._durations_s[stage].copy())[-newest:]

    def percentiles_ms(self, stage: str, *percents: int, newest: int = KEEP) -> dict[str, float]:
        """{"p50": ...} in milliseconds, to 1/100, of so many newest ones; empty while nothing was measured."""
        times_ms = self.times_ms(stage, newest)
        if not len(times_ms):
            return {}
        values = np.percentile(times_ms, percents)
        return {f"p{percent}": round(float(value), 2) for percent, value in zip(percents, values, strict=True)}
