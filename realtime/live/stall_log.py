"""Warns of stages that do not get done with a frame, without filling the log."""

import logging
import math
from collections import Counter

STALLED_S = 0.8
"""A stage that is at one frame for longer has stalled; it is named."""
SPACING_S = 30.0
"""Between two warnings of one stage; the later one says how often it has stalled meanwhile."""
LOG = logging.getLogger(__name__)


class StallLog:
    """Writes the warnings."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._untold = Counter[str]()
        self._told_at_s: dict[str, float] = {}

    def see(self, stage: str | None, at_s: float) -> None:
        """Take the stage that is at one frame for too long at this time; None if there is none."""
        if stage is not None and stage != self._stage:
            self._untold[stage] += 1
        self._stage = stage
        for each, times in tuple(self._untold.items()):
            since_s = at_s - self._told_at_s.get(each, -math.inf)
            if since_s >= SPACING_S:
                often = f", {times} times in {since_s:.0f} s" if times > 1 else ""
                LOG.warning("The stage %s has been at one frame for %.1f s%s.", each, STALLED_S, often)
                self._told_at_s[each] = at_s
                del self._untold[each]
