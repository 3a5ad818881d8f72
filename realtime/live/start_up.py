"""How long a session takes from the command to its first picture, and where that time goes."""

import os
import time
from pathlib import Path

LEAST_S = 0.05
"""Shorter parts are not worth a word."""


class StartUp:
    """The parts of a start, one after the other; the first one, "imports", began with the process.

    Args:
        began_at_s: when the process began, in seconds of `time.perf_counter`.
    """

    def __init__(self, began_at_s: float | None = None) -> None:
        self._began_at_s = self._at_s = process_began_at_s() if began_at_s is None else began_at_s
        self._parts_s: dict[str, float] = {}

    def done(self, part: str, at_s: float | None = None) -> None:
        """A part has ended, now or at `at_s`; the next one begins."""
        at_s = time.perf_counter() if at_s is None else at_s
        self._parts_s[part] = at_s - self._at_s
        self._at_s = at_s

    def __str__(self) -> str:
        """One sentence: the whole time, and its largest parts."""
        largest = sorted(self._parts_s.items(), key=lambda part: -part[1])
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in largest if seconds >= LEAST_S)
        return f"The first picture took {self._at_s - self._began_at_s:.1f} s ({parts or 'nothing took long'})."


def process_began_at_s() -> float:
    """When this process began, in seconds of `time.perf_counter`; where nobody says, as if it were now."""
    now_s = time.perf_counter()
    try:
        # Field 22 of the line, in ticks since the machine was started; the name before may have spaces in it.
        began_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return now_s - (time.clock_gettime(time.CLOCK_BOOTTIME) - began_ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError):  # not on Linux
        return now_s
