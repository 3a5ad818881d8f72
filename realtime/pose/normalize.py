"""Fit a performer's pose into the target's room (EDN, section 3.1 and appendix: global pose normalization).

With p, how near the performer stands (0 far, 1 near), the ankles go to the target's ankle line at p, and everything is
scaled about them by the ratio of the statures at p. What the performer's far and near are is learnt while playing.
"""

from collections import deque

import msgspec
import numpy as np

from realtime.pose.measure import ankle_line_px, middle, stature_px
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX

SURE = 0.5
"""Least confidence of the ankles for a pose to count as standing."""


class MotionRange(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where a person stands in the picture and how tall they are there, all in pixels."""

    far_ankle: float
    near_ankle: float
    """y of the ankle line, the far one being higher up in the picture."""
    far_stature: float
    near_stature: float
    middle: float
    """x of the hips most of the time: their median."""
    reach: float
    """How far the hips go to either side of it."""


def measure_range(observations: list[tuple[float, float, float]]) -> MotionRange:
    """The robust range of (ankle line, stature, hips' x) triples; quantiles, so that single bad frames do not count.

    On a level floor the stature is a linear function of the ankle line: far and near are two points of one line.
    """
    ankle, stature, x = np.array(observations, np.float64).T
    far, near = (float(v) for v in np.quantile(ankle, (0.02, 0.98)))
    centre, tall = float(np.median(ankle)), float(np.median(stature))
    order = np.argsort(ankle)
    third = (len(order) + 2) // 3
    rise, run = (float(np.median(v[order[-third:]]) - np.median(v[order[:third]])) for v in (stature, ankle))
    least = 0.1 * tall
    if near - far < least:
        far, near = (far + near - least) / 2, (far + near + least) / 2
    # A performer who has hardly moved yet says nothing of the slope, which is the stature over the camera's height:
    # assume that they are equal.
    slope = float(np.clip(rise / run, 0, 3)) if run > least / 2 else 1.0
    left, middle_x, right = (float(v) for v in np.quantile(x, (0.02, 0.5, 0.98)))
    return MotionRange(
        far_ankle=far,
        near_ankle=near,
        far_stature=max(1.0, tall + slope * (far - centre)),
        near_stature=max(1.0, tall + slope * (near - centre)),
        middle=middle_x,
        reach=max(1.0, right - middle_x, middle_x - left),
    )


def observe(pose: Pose) -> tuple[float, float, float] | None:
    """(ankle line, stature, hips' x) of a pose whose feet are seen, else None."""
    if min(pose.confidence[INDEX["left_ankle"]], pose.confidence[INDEX["right_ankle"]]) < SURE:
        return None
    return ankle_line_px(pose), stature_px(pose), float(middle(pose, "hip")[0])


class Normalizer:
    """Owns what is known of the performer's range; maps poses from their picture into the target's.

    Args:
        target: the target's range in its own picture.
        memory: how many observations count, the newest ones.
    """

    def __init__(self, target: MotionRange, memory: int = 900) -> None:
        self._target = target
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=memory)
        self._source: MotionRange | None = None

    def reset(self) -> None:
        """A new performer: forget the range."""
        self._seen.clear()
        self._source = None

    def normalize(self, pose: Pose) -> Pose:
        """Map a performer's pose (pixels of their picture) to the target's pixels."""
        seen = observe(pose)
        if seen is not None:
            self._seen.append(seen)
            self._follow(measure_range(list(self._seen)))
        source = self._source or measure_range([(ankle_line_px(pose), stature_px(pose), float(middle(pose, "hip")[0]))])
        return map_pose(pose, source, self._target)

    def _follow(self, fresh: MotionRange) -> None:
        """Move towards the fresh range in small steps, so that a new statistic never makes the person jump."""
        if self._source is None:
            self._source = fresh
            return
        old = self._source
        gain = 0.05
        self._source = MotionRange(
            **{
                name: (1 - gain) * getattr(old, name) + gain * getattr(fresh, name)
                for name in MotionRange.__struct_fields__
            }
        )


def map_pose(pose: Pose, source: MotionRange, target: MotionRange) -> Pose:
    """EDN's map, with the ankles themselves as the fixed point, so feet land on the target's line at every scale."""
    ankle = ankle_line_px(pose)
    p = float(np.clip((ankle - source.far_ankle) / (source.near_ankle - source.far_ankle), -0.2, 1.2))
    line = target.far_ankle + p * (target.near_ankle - target.far_ankle)
    far, near = target.far_stature / source.far_stature, target.near_stature / source.near_stature
    k = far + p * (near - far)
    hips = float(middle(pose, "hip")[0])
    x = target.middle + float(np.clip(k * (hips - source.middle), -1.2 * target.reach, 1.2 * target.reach))
    from_, to = np.array([hips, ankle], np.float32), np.array([x, line], np.float32)
    return Pose(to + np.float32(k) * (pose.xy - from_), np.float32(k) * pose.depth, pose.confidence)
