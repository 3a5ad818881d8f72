"""How busy a session is: the time that its pictures take, by the time that there is for them."""

import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from realtime.meter import Meter

THREADS: Sequence[Sequence[str]] = (("pose", "figure"), ("show",), ("parts",), ("render",))
"""The stages of each thread that a picture goes through, the networks' last."""
NETWORKS = slice(2, None)
"""Those that reprojected pictures do not wait for."""
MOST_REPROJECTED = 2
"""So many pictures may be reprojected from one rendering."""
KEEP = 31
"""Newest pictures whose times say how fast the source is: their median interval, for cameras falter."""


class LoadMeter:
    """Measures the load: 1 is as much as can be done before the source's next picture.

    Args:
        meter: knows how long the stages take.
        cores: seconds of processor time that there are for a second.
        cpu_clock: seconds of processor time of this process, in all its threads.
    """

    def __init__(self, meter: Meter, cores: float, *, cpu_clock: Callable[[], float] = time.process_time) -> None:
        self._meter, self._cores, self._cpu_clock = meter, cores, cpu_clock
        self._captured_at_s = deque[float](maxlen=KEEP)
        self._totals = self._measure()

    def see(self, captured_at_s: float) -> None:
        """Take the time of the source's next picture; from one thread."""
        self._captured_at_s.append(captured_at_s)

    def take(self, *, beside: bool = False) -> float | None:
        """The load since the last call, of the busiest thread or of the processor; None if no picture was finished.

        From one thread.

        Args:
            beside: pictures do not wait for the networks, which take what the processor has left.
        """
        before, self._totals = self._totals, self._measure()
        spent = self._totals - before
        captured_at_s = list(self._captured_at_s.copy())
        if len(captured_at_s) < 2 or not spent[:, 0].all():
            return None
        each_s = spent[:, 1] / spent[:, 0]
        if beside:
            each_s = each_s[:-1]
            each_s[NETWORKS] /= MOST_REPROJECTED
        return float(each_s.max() / np.median(np.diff(captured_at_s)))

    def _measure(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """A row for each thread, and one for the processor: pictures so far, and the seconds that they took."""
        totals = [[self._meter.total(stage) for stage in stages] for stages in THREADS]
        rows = [(stages[-1][0], sum(total_s for _, total_s in stages)) for stages in totals]
        return np.array([*rows, (rows[0][0], self._cpu_clock() / self._cores)])
