"""When to begin with a frame, so that its figure is ready just when the renderer is free: what is dropped is dropped
before the pose, which costs the most, and what is rendered is as new as it can be."""

import math
from collections import deque

KEEP = 8
"""Newest durations that are looked at."""


class JustInTime:
    """Knows when the renderer will be free, and how long a figure takes before that.

    It errs to the early side, by the shortest of the last renderings and the longest of the last poses: a figure that
    waits costs delay, a renderer that waits costs pictures.
    """

    def __init__(self) -> None:
        self._began_at_s = math.inf
        self._render_s, self._pose_s, self._parts_s = (deque[float](maxlen=KEEP) for _ in range(3))

    def began(self, at_s: float) -> None:
        """The renderer has taken a figure; from its thread."""
        self._began_at_s = at_s

    def rendered(self, at_s: float) -> None:
        """It is done and free; from its thread."""
        self._render_s.append(at_s - self._began_at_s)
        self._began_at_s = math.inf

    def posed(self, duration_s: float) -> None:
        """A figure was made; from the pose's thread, as `wait_s`."""
        self._pose_s.append(duration_s)

    def moved(self, duration_s: float) -> None:
        """A figure was made ready for the renderer; from the thread between the two."""
        self._parts_s.append(duration_s)

    def wait_s(self, at_s: float, *, figures: int) -> float:
        """How long to wait before the next frame is taken.

        Args:
            at_s: now.
            figures: on their way to the renderer, which will render those first.
        """
        began_at_s = self._began_at_s
        if began_at_s == math.inf or not self._render_s or not self._pose_s:
            return 0.0
        free_at_s = began_at_s + min(self._render_s.copy()) * (1 + figures)
        ahead_s = max(self._pose_s) + max(self._parts_s.copy(), default=0.0)
        return max(0.0, free_at_s - ahead_s - at_s)
