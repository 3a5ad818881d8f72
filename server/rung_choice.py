"""Which rung suits a viewer, by what its receiver reports: losses, and how much it believes to be possible."""

import math

SETTLE_S = 3.0
"""After a move, and at first, reports are about the time before."""
DOWN_S = 1.0
"""So long it has to go badly."""
UP_S, MOST_UP_S = 8.0, 64.0
"""So long it has to go well; twice as long whenever the last way up was soon regretted."""
LOSSY, CLEAN = 0.10, 0.02
"""Lost packets by sent ones: more than that is bad, less than that is good, and between them all stays as it is."""

TIGHT = 0.7
"""Estimates of less of what is sent are bad. Receivers estimate 0.85 of it (draft-ietf-rmcat-gcc-02, 4.4) as soon as
pictures come unevenly, be it only because this machine is busy; where the line is too thin, more of them follow."""


class RungChoice:
    """Chooses one viewer's rung. Going down is quick, going up is slow.

    A receiver's estimate is never much above what it receives, so it cannot tell whether the next rung would get
    through: that is tried.

    Args:
        rungs: how many there are.
        at_s: now, in seconds.
    """

    def __init__(self, rungs: int, at_s: float) -> None:
        self.rung = 0
        """The present choice; 0 is the best one."""
        self._rungs = rungs
        self._patience_s, self._rose_at_s = UP_S, -math.inf
        self._loss, self._estimate_bps = 0.0, math.inf
        self._settled_at_s = self._good_since_s = at_s + SETTLE_S
        self._bad_since_s = math.inf

    def hear(
        self, at_s: float, *, sent_bps: float, loss: float | None = None, estimate_bps: float | None = None
    ) -> int:
        """Take a report; returns the rung to be on.

        Args:
            at_s: when it came.
            sent_bps: what the viewer is sent at present.
            loss: lost packets by sent ones, since the report before.
            estimate_bps: what the receiver believes to be possible.
        """
        self._loss = self._loss if loss is None else loss
        self._estimate_bps = self._estimate_bps if estimate_bps is None else estimate_bps
        if at_s < self._settled_at_s:
            return self.rung
        bad = self._loss > LOSSY or self._estimate_bps < TIGHT * sent_bps
        self._bad_since_s = min(self._bad_since_s, at_s) if bad else math.inf
        if bad or self._loss > CLEAN:
            self._good_since_s = at_s
        if at_s - self._bad_since_s >= DOWN_S and self.rung < self._rungs - 1:
            regretted = at_s - self._rose_at_s < 2 * self._patience_s
            self._patience_s = min(2 * self._patience_s, MOST_UP_S) if regretted else UP_S
            self.rung += 1
            self._settle(at_s)
        elif at_s - self._good_since_s >= self._patience_s and self.rung > 0:
            self.rung -= 1
            self._rose_at_s = at_s
            self._settle(at_s)
        return self.rung

    def _settle(self, at_s: float) -> None:
        self._settled_at_s = self._good_since_s = at_s + SETTLE_S
        self._bad_since_s = math.inf
