"""Keeps a session within a share of the machine's processor time."""

import time
from collections.abc import Callable

from engines.cores import usable_cores

SAVED_S, OWED_S = 0.1, 1.0
"""What was not used may be made up for later for so long, and what was used too much has to be, of wall time."""


class CpuShare:
    """Says how long to wait before the next frame, so that this process stays within its share.

    Args:
        share: of the time of all cores, 0..1.
        cores: how many there are.
        clock: seconds of wall time.
        cpu_clock: seconds of processor time of this process, in all its threads.
    """

    def __init__(
        self,
        share: float,
        *,
        cores: int = usable_cores(),
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock, self._cpu_clock = clock, cpu_clock
        self.cores = share * cores
        """Seconds of processor time for a second."""
        self.limited = share < 1
        """Whether the processor is for others, too."""
        self._at_s, self._used_s = clock(), cpu_clock()
        self._owed_s = 0.0

    def pause_s(self) -> float:
        """How long to wait, counted from now, in seconds of wall time."""
        at_s, used_s = self._clock(), self._cpu_clock()
        owed_s = self._owed_s + (used_s - self._used_s) / self.cores - (at_s - self._at_s)
        self._owed_s = min(max(owed_s, -SAVED_S), OWED_S)
        self._at_s, self._used_s = at_s, used_s
        return max(0.0, self._owed_s)
