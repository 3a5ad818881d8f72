"""A picture and when it was taken. RGB everywhere inside; other orders exist only at the edges."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""H W 3, RGB, 0..255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture on its way through the pipeline; whoever changes the picture keeps the rest."""

    rgb: Rgb
    captured_at_s: float
    """`time.perf_counter()` at capture."""
    number: int
    """Counts the source's frames from 0, those dropped later included."""
    source: int = 0
    """Which of a session's sources it is from, counted from 0."""
    done_at_s: float | None = None
    """`time.perf_counter()` when its last stage was done; None before the first one."""

    @property
    def waiting_since_s(self) -> float:
        """Since when it has waited for its next stage."""
        return self.captured_at_s if self.done_at_s is None else self.done_at_s
