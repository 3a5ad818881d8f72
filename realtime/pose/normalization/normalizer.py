"""Map a performer's pose into the subject's picture (EDN, section 3.1 and appendix: global pose normalization).

As in EDN the performer is the source, and the subject is the target.

With p, how near the performer stands (0 far, 1 near), the ankles go to the target's ankle line at p, and everything is
scaled about them to the target's stature at p. What the performer's far and near are is learnt while playing.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from realtime.pose.measure import ankle_line_px, middle
from realtime.pose.normalization.half_body import FeetWatch, stand_in_legs
from realtime.pose.normalization.motion_range import MotionRange, RangeEstimator, Stand, observe
from realtime.pose.normalization.proportions import LimbFitter, Proportions
from realtime.pose.pose import Floats, Pose

BEYOND = 0.1
"""How far outside of the target's range the figure may go, in ranges: the generator has not seen more."""
FOLLOW_S = 1.0
"""Time constant with which a new estimate is taken over."""
RAISED_HAND = 1.4
"""The farthest keypoint from the ankles, in statures."""
PLACEMENT_DRIFT_PER_S = 0.1
"""Fastest that the figure moves because an estimate does, in statures per second."""
MOST_ELAPSED_S = 1 / 15
"""Longer pauses between frames count as this, so that no two frames differ by more than 1 % of the stature."""


class Anchor(NamedTuple):
    """Where the performer stands, in pixels of their picture."""

    x: float
    """Of the hips."""
    ankle: float
    """y of the ankle line."""
    p: float
    """How near: 0 far, 1 near."""
    stature: float


class Placement(NamedTuple):
    """A similarity: `k` times about one point, which comes to lie on another."""

    x: float
    ankle: float
    """The fixed point in the performer's picture."""
    to_x: float
    to_ankle: float
    """Where it goes in the target's."""
    k: float

    def apply(self, pose: Pose) -> Pose:
        """Map a pose."""
        from_, to = (np.array(at, np.float32) for at in ((self.x, self.ankle), (self.to_x, self.to_ankle)))
        k = np.float32(self.k)
        return Pose(to + k * (pose.xy - from_), k * pose.depth, pose.confidence)


def place(anchor: Anchor, source: MotionRange, target: MotionRange) -> Placement:
    """EDN's map, with the ankles themselves as the fixed point, so feet land on the target's line at every scale.

    EDN interpolates the ratio of the statures at far and near; this is the ratio of the interpolated statures. They
    agree at both ends, and only the latter gives the target's stature in between and beyond.
    """
    p = min(max(anchor.p, -BEYOND), 1 + BEYOND)
    k = target.stature_at(p) / anchor.stature
    off = _sideways(k * (anchor.x - source.middle), k * source.reach, target.reach)
    return Placement(anchor.x, anchor.ankle, target.middle + off, target.ankle_at(p), k)


def _anchor(pose: Pose, source: MotionRange) -> Anchor:
    ankle = ankle_line_px(pose)
    p = source.nearness(ankle)
    return Anchor(float(middle(pose, "hip")[0]), ankle, p, source.stature_at(p))


def _sideways(off: float, reach: float, target_reach: float) -> float:
    """The way from the middle: as long as the performer's near the middle, and the target's reach at the reach."""
    bend = max(0.0, 1 / target_reach - 1 / reach)
    limit = (1 + BEYOND) * target_reach
    return min(max(off / (1 + bend * abs(off)), -limit), limit)


class Normalizer:
    """Maps poses from a performer's picture into the target's, and learns the performer's range meanwhile.

    Args:
        target: the target's range in its own picture.
        size_px: width and height of the performer's picture.
        known: the performer's range in that picture; with it no range is learnt.
        proportions: the target's, to which limbs are fitted; None leaves the performer's.
        known_lengths: the performer's, if all are known; see `LimbFitter`.
    """

    def __init__(
        self,
        target: MotionRange,
        size_px: tuple[int, int],
        *,
        known: MotionRange | None = None,
        proportions: Proportions | None = None,
        known_lengths: Sequence[Floats] = (),
    ) -> None:
        self._target, self._size_px, self._known, self._proportions = target, size_px, known, proportions
        self._known_lengths = known_lengths
        self.reset()

    def reset(self) -> None:
        """Forget the performer, but for what was known before."""
        self._estimator = RangeEstimator(self._size_px, self._target)
        self._source = self._known
        self._feet = FeetWatch()
        self._limbs = LimbFitter(self._proportions, self._known_lengths) if self._proportions else None
        self._stood = False
        self._p = 0.5
        self._at_s = -math.inf

    def exchange(self, target: MotionRange, proportions: Proportions | None) -> None:
        """Map to another target from now on; what is known of the performer stays."""
        self._target, self._proportions = target, proportions
        self._estimator.exchange(target)
        if self._limbs is not None and proportions is not None:
            self._limbs.exchange(proportions)
        else:
            self._limbs = LimbFitter(proportions, self._known_lengths) if proportions else None

    @property
    def half_body(self) -> bool:
        """Whether the feet are hidden: hips and shoulders place the figure, and its legs just stand."""
        return self._feet.hidden

    def normalize(self, pose: Pose, at_s: float) -> Pose:
        """Map a performer's pose (pixels of their picture), seen at `at_s` seconds, to the target's pixels."""
        elapsed_s = min(max(at_s - self._at_s, 0.0), MOST_ELAPSED_S)
        self._at_s = at_s
        self._feet.follow(pose, elapsed_s)
        stand = observe(pose)
        source = self._learn(pose, stand, at_s, elapsed_s)
        anchor = self._stand(pose, source)
        if stand is not None and self._feet.hidden_share == 0:
            self._p = min(max(source.nearness(stand.ankle), -BEYOND), 1 + BEYOND)
        if self._limbs is not None:  # other legs put the ankles elsewhere: they stay the fixed point
            fitted = self._limbs.fit(pose, at_s, elapsed_s)
            anchor = anchor._replace(ankle=anchor.ankle + ankle_line_px(fitted) - ankle_line_px(pose))
            pose = fitted
        placement = place(anchor, source, self._target)
        mapped = placement.apply(pose)
        legs_px = placement.k * anchor.stature
        return stand_in_legs(mapped, placement.to_ankle, legs_px, self._feet.hidden_share)

    def _learn(self, pose: Pose, stand: Stand | None, at_s: float, elapsed_s: float) -> MotionRange:
        """The range to use now: it moves to the newest estimate so slowly that the figure never jumps."""
        if self._known is not None:
            return self._known
        self._stood |= stand is not None
        if not self._stood:
            stand = Stand(*self._feet.supposed(), float(middle(pose, "hip")[0]))
        if stand is not None:
            self._estimator.add(stand, at_s)
        newest = self._estimator.range
        assert newest is not None, "the first pose is an observation, with or without both feet"
        old = self._source
        if old is None:
            self._source = newest
            return newest
        was = place(self._stand(pose, old), old, self._target)
        gain = 1 - math.exp(-elapsed_s / FOLLOW_S)
        while gain > 1e-4:  # halved until it moves the figure little enough
            new = old.towards(newest, gain)
            if self._drift(pose, was, new) <= PLACEMENT_DRIFT_PER_S * elapsed_s:
                self._source = new
                return new
            gain /= 2
        return old

    def _drift(self, pose: Pose, was: Placement, source: MotionRange) -> float:
        """How far a changed range moves the figure at most, in its statures."""
        anchor = self._stand(pose, source)
        now = place(anchor, source, self._target)
        moved = math.hypot(now.to_x - was.to_x, now.to_ankle - was.to_ankle)
        return (moved + abs(now.k - was.k) * RAISED_HAND * anchor.stature) / (now.k * anchor.stature)

    def _stand(self, pose: Pose, source: MotionRange) -> Anchor:
        """The anchor: the feet, as far as they are seen; else the place of the last ones."""
        feet, share = _anchor(pose, source), self._feet.hidden_share
        if share == 0:
            return feet
        ankle, stature = self._feet.supposed()
        hidden = Anchor(feet.x, ankle, self._p, stature)
        return Anchor(*((1 - share) * a + share * b for a, b in zip(feet, hidden, strict=True)))
