"""How far two clocks are apart, as arrivals tell that are not punctual."""

from collections import deque
from statistics import median

RECENT = 30
"""So many of the newest arrivals tell when something comes that was neither early nor late."""
STEP_S = 0.02
"""Smaller changes of that are left alone: sound without gaps is worth more."""


class SteadyOffset:
    """What one clock is ahead of another: the median of the newest arrivals, unless that has changed by little."""

    def __init__(self) -> None:
        self._newest_s = deque[float](maxlen=RECENT)
        self._value_s: float | None = None

    @property
    def known(self) -> bool:
        """Whether anything has come, since `clear`."""
        return bool(self._newest_s)

    @property
    def value_s(self) -> float:
        """Seconds; only once something has come."""
        assert self._value_s is not None
        return self._value_s

    def add(self, offset_s: float) -> None:
        """Something has come: by how much later it was by the one clock than by the other."""
        self._newest_s.append(offset_s)
        usual_s = median(self._newest_s)
        if self._value_s is None or abs(usual_s - self._value_s) > STEP_S:
            self._value_s = usual_s

    def clear(self) -> None:
        """Forget what has come: a clock is another one now."""
        self._newest_s.clear()
