"""How much is computed for a picture: a few levels, and which of them this machine can afford now."""

import math
import statistics
from collections import deque
from dataclasses import dataclass
from typing import Literal

from engines.errors import UserError
from realtime.pose.estimation.economy import LOOK_EVERY, Economy

QualityName = Literal["auto", "full", "high", "medium", "low"]
WINDOW_S = 1.0
"""The median of the loads in so long a time decides."""
FAR, MISSED, AMPLE = 1.4, 1.0, 0.75
"""Loads: beyond the first two pictures are late, and so late that the next level would not do; below the third one
there is room for more."""
WAIT_S, MOST_WAIT_S = 4.0, 600.0
"""For so long there has to be room before a better level is tried; twice as long after every try that failed."""
HELD_S = 60.0
"""A level that is given up sooner was a try that failed."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """What is left out at a level of quality."""

    name: QualityName
    changes: str
    """For people: what is otherwise than at the best level."""
    economy: Economy
    """Of the pose."""
    face_every: int = 1
    """See `Renderer.face_every`."""
    reproject: bool = False
    """Pictures do not wait for the networks: the last rendering is moved into every new pose."""


_MOVED = "pictures do not wait for the networks, the last rendering is moved; the body in bf16"
LEVELS = (
    Level(name="full", changes="every network looks at every picture", economy=Economy()),
    Level(name="high", changes=_MOVED, economy=Economy(fast_body=True), reproject=True),
    Level(
        name="medium",
        changes=f"{_MOVED}; each hand in every second picture, of refined poses in every sixth",
        economy=Economy(fast_body=True, hands_every=2),
        reproject=True,
    ),
    Level(
        name="low",
        changes=f"{_MOVED}; each hand in every fourth picture, of refined poses in every sixth, and the body in every "
        "third; the face in every second",
        economy=Economy(fast_body=True, body_every=LOOK_EVERY, hands_every=4, face_every=2),
        face_every=2,
        reproject=True,
    ),
)
"""The best one first; each leaves out more. The order is that of the loss for a millisecond, see docs/log.md."""


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """How much of the machine a session may use, and what it leaves out when that is too little."""

    quality: QualityName = "auto"
    """What is computed for a picture: full, or less (high, medium, low) on slow machines; auto takes the best for which
    there is time."""
    cpu_share: float = 1.0
    """How much of this machine's processor time the session may take, from 0.05 to 1: 0.5 leaves half to others."""

    def __post_init__(self) -> None:
        if not 0.05 <= self.cpu_share <= 1:
            raise UserError(f"--cpu-share must be from 0.05 to 1, not {self.cpu_share:g}.")


AUTO = QualityConfig()
FULL = QualityConfig(quality="full")
"""For measuring: nothing is left out."""


class QualityController:
    """Chooses a level from the load: steps down when pictures are late, and up again with patience.

    Args:
        levels: how many there are; 0 is the best one.
    """

    def __init__(self, levels: int) -> None:
        self._worst = levels - 1
        self.level = 0
        """The present one."""
        self._wait_s = WAIT_S
        self._climbed_at_s = math.inf
        """When a better level was tried, until that is known to have failed or held."""
        self._clear()

    def step(self, at_s: float, load: float | None) -> int:
        """Take what was measured until `at_s` and return the level from now on.

        Args:
            at_s: now, in seconds, later than at the call before.
            load: the time that a picture took, by the time that there is for one; None while nothing has to be done.
        """
        if load is None:
            self._clear()
            return self.level
        if not self._loads:
            self._since_s = at_s
        self._loads.append((at_s, load))
        while self._loads[0][0] <= at_s - WINDOW_S:
            self._loads.popleft()
        if at_s - self._climbed_at_s >= HELD_S:
            self._wait_s, self._climbed_at_s = WAIT_S, math.inf
        if at_s - self._since_s >= WINDOW_S:
            self._decide(at_s, statistics.median(each for _, each in self._loads))
        return self.level

    def _decide(self, at_s: float, load: float) -> None:
        if load >= AMPLE:
            self._ample_since_s = math.inf
        else:
            self._ample_since_s = min(self._ample_since_s, at_s)
        if load > MISSED and self.level < self._worst:
            if self._climbed_at_s < math.inf:
                self._wait_s, self._climbed_at_s = min(2 * self._wait_s, MOST_WAIT_S), math.inf
            self.level = min(self.level + (2 if load > FAR else 1), self._worst)
            self._clear()
        elif at_s - self._ample_since_s >= self._wait_s and self.level > 0:
            self.level -= 1
            self._climbed_at_s = at_s
            self._clear()

    def _clear(self) -> None:
        """What was measured at another level, or before a rest, says nothing of now."""
        self._loads: deque[tuple[float, float]] = deque()
        self._since_s, self._ample_since_s = math.inf, math.inf
