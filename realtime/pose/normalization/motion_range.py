"""Where somebody stands in the picture and how tall they are there: in a pose, over a video, and so far.

On a level floor the stature is a linear function of the ankle line: it grows from the horizon down, by the person's
height over the camera's for each pixel. Far and near are two points of that line.
"""

from collections import deque
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from realtime.pose.measure import ankle_line_px, middle, stature_px
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX

MEASURED_CONFIDENCE = 0.5
"""Least confidence of a keypoint that is measured."""
AVERAGE_SLOPE = 1.5
"""Slope of the stature by the ankle line before anybody has moved: 1.45 m nose to ankle, camera 1 m above the floor."""
NEAR_STATURE = 0.72
"""Stature of somebody whose whole body just fits into the picture, by the picture's height."""
RANGE_PRIOR_S = 2.0
"""Seconds of observation that weigh as much as the prior of the range and the camera."""
PLACE_PRIOR_S = 8.0
"""The same for the middle of the range: longer than it takes to walk in from the side."""
OBSERVATION_S = 0.25
"""Length of one observation: the median of what was seen in it."""
MEMORY_S = 90.0


FARTHEST_PX = 1e5
"""Of a place or a length in a manifest: far more than any picture has."""

Place = Annotated[float, msgspec.Meta(ge=-FARTHEST_PX, le=FARTHEST_PX)]
Length = Annotated[float, msgspec.Meta(ge=0.1, le=FARTHEST_PX)]


class Stand(NamedTuple):
    """Where a person stands, in pixels."""

    ankle: float
    """y of the ankle line."""
    stature: float
    """Nose to ankle along the bones."""
    x: float
    """Of the hips."""


class MotionRange(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where a person stands in the picture and how tall they are there, all in pixels."""

    far_ankle: Place
    near_ankle: Place
    """y of the ankle line, the far one being higher up in the picture."""
    far_stature: Length
    near_stature: Length
    middle: Place
    """x of the hips in the middle of their range."""
    reach: Length
    """How far the hips go to either side of it."""

    def nearness(self, ankle: float) -> float:
        """0 where the person is far, 1 where near, beyond these outside of the range."""
        return (ankle - self.far_ankle) / (self.near_ankle - self.far_ankle)

    def ankle_at(self, p: float) -> float:
        """The ankle line at a nearness."""
        return self.far_ankle + p * (self.near_ankle - self.far_ankle)

    def stature_at(self, p: float) -> float:
        """The stature at a nearness; towards the horizon it stays positive."""
        return max(self.far_stature + p * (self.near_stature - self.far_stature), 0.25 * self.far_stature)

    def towards(self, other: "MotionRange", gain: float) -> "MotionRange":
        """A range between this one (gain 0) and another (gain 1)."""
        return MotionRange(
            **{
                name: (1 - gain) * getattr(self, name) + gain * getattr(other, name)
                for name in MotionRange.__struct_fields__
            }
        )

    def scaled(self, k: float) -> "MotionRange":
        """The same range in a picture `k` times as large."""
        return MotionRange(**{name: k * getattr(self, name) for name in MotionRange.__struct_fields__})


def observe(pose: Pose) -> Stand | None:
    """Where a pose stands; None unless both feet are seen. The head does not matter: it may be turned away."""
    if min(pose.confidence[INDEX["left_ankle"]], pose.confidence[INDEX["right_ankle"]]) < MEASURED_CONFIDENCE:
        return None
    return Stand(ankle_line_px(pose), stature_px(pose), float(middle(pose, "hip")[0]))


def measure_range(
    stands: Sequence[Stand], *, least_ratio: float = 1.1, likely: float | None = None, doubt: float = 0.01
) -> MotionRange:
    """The robust range of what was observed: quantiles, so that single bad frames do not count.

    Args:
        stands: at least one.
        least_ratio: the near stature is at least so many times the far one.
        likely: stature in the middle of a range that has to be widened to this; by default that of what was seen.
        doubt: how much the slope's prior counts, from 0 (never) to 1 (beside a single look).
    """
    ankle, stature, x = np.sort(np.array(stands, np.float64), axis=0).T  # by itself each, for its quantiles
    far, centre, near = (_quantile(ankle, q) for q in (0.02, 0.5, 0.98))
    slope = _slope(np.array(stands, np.float64), doubt)
    tall = _quantile(stature, 0.5)
    # The statures at both ends are those of the line through the medians, for single ones are noisy.
    far_stature, near_stature = (max(0.1 * tall, tall + slope * (v - centre)) for v in (far, near))
    if near_stature < least_ratio * far_stature:
        # Widened about the likely stature, but moved as far as needed to keep what was seen inside.
        wide = least_ratio**0.5
        mean = min(max(likely or (far_stature * near_stature) ** 0.5, near_stature / wide), far_stature * wide)
        far_stature, near_stature = mean / wide, mean * wide
    left, right = (_quantile(x, q) for q in (0.02, 0.98))
    return MotionRange(  # the ankle lines are where the line has these statures
        far_ankle=centre + (far_stature - tall) / slope,
        near_ankle=centre + (near_stature - tall) / slope,
        far_stature=far_stature,
        near_stature=near_stature,
        middle=(left + right) / 2,
        reach=max(1.0, (right - left) / 2),
    )


def whole_range(stands: Sequence[Stand], target: MotionRange) -> MotionRange:
    """The range of somebody all of whose places are known: what `RangeEstimator` comes to in the end.

    Args:
        stands: at least one.
        target: the target's range.
    """
    stature, x = (float(np.median([getattr(stand, name) for stand in stands])) for name in ("stature", "x"))
    return replace(measure_range(stands, least_ratio=_least_ratio(target), likely=stature), middle=x)


def supposed_range(stand: Stand, slope: float, size_px: tuple[int, int], target: MotionRange) -> MotionRange:
    """The range to expect of somebody seen once or twice: an average camera, and steps like the target's.

    Args:
        stand: a place on the line of statures.
        slope: of that line.
        size_px: width and height of the picture.
        target: the target's range.
    """
    width, height = size_px
    near = NEAR_STATURE * height
    far = near * target.far_stature / target.near_stature
    return MotionRange(
        far_ankle=stand.ankle + (far - stand.stature) / slope,
        near_ankle=stand.ankle + (near - stand.stature) / slope,
        far_stature=far,
        near_stature=near,
        middle=width / 2,
        reach=target.reach * near / target.near_stature,
    )


class RangeEstimator:
    """Estimates a performer's range while they move, from the newest `MEMORY_S`, whatever the frame rate.

    Who has hardly moved is given a range in proportion to the target's, so that nobody's steps are made larger.

    Args:
        size_px: width and height of the performer's picture.
        target: the target's range in its own picture.
    """

    def __init__(self, size_px: tuple[int, int], target: MotionRange) -> None:
        self._size_px = size_px
        self.exchange(target)
        self._steps: deque[Stand] = deque(maxlen=round(MEMORY_S / OBSERVATION_S))
        self._step: list[Stand] = []
        self._step_from_s = 0.0
        self.range: MotionRange | None = None
        """The newest estimate; None before the first observation."""

    def exchange(self, target: MotionRange) -> None:
        """Estimate for another target from now on, from the same observations."""
        self._target, self._least_ratio = target, _least_ratio(target)

    def add(self, stand: Stand, at_s: float) -> None:
        """Count an observation made at `at_s` seconds."""
        if self.range is None:
            self.range, self._step_from_s = supposed_range(stand, AVERAGE_SLOPE, self._size_px, self._target), at_s
        elif at_s - self._step_from_s >= OBSERVATION_S:
            self._steps.append(Stand(*np.median(self._step, axis=0).tolist()))
            self._step, self._step_from_s = [], at_s
            self.range = self._estimate()
        self._step.append(stand)

    def _estimate(self) -> MotionRange:
        """What was observed, mixed with the priors, whose weight falls with the square of the time observed."""
        seen_s = OBSERVATION_S * len(self._steps)
        doubt, place_doubt = (1 / (1 + (seen_s / prior_s) ** 2) for prior_s in (RANGE_PRIOR_S, PLACE_PRIOR_S))
        stature, x = (float(np.median([getattr(step, name) for step in self._steps])) for name in ("stature", "x"))
        # At first the whole body is supposed to just fit the picture when near; this is the middle of the range then.
        likely = stature + place_doubt * (NEAR_STATURE * self._size_px[1] / self._least_ratio**0.5 - stature)
        seen = measure_range(self._steps, least_ratio=self._least_ratio, likely=likely, doubt=doubt)
        # The prior of the range lies on the line that was observed, so the mixture does, too.
        slope = (seen.near_stature - seen.far_stature) / (seen.near_ankle - seen.far_ankle)
        at = Stand(seen.ankle_at(0.5), seen.stature_at(0.5), seen.middle)
        mixed = seen.towards(supposed_range(at, slope, self._size_px, self._target), doubt)
        # The median, not the middle between left and right: who walks in from the side has been on one side only.
        return replace(mixed, middle=x + place_doubt * (self._size_px[0] / 2 - x))


def _least_ratio(target: MotionRange) -> float:
    """Of the near stature by the far one: who hardly steps stays where they are in the target's range."""
    return max(1.1, target.near_stature / target.far_stature)


def _quantile(ordered: NDArray[np.float64], q: float) -> float:
    """`np.quantile` of sorted values, ten times as fast."""
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


def _slope(stands: NDArray[np.float64], doubt: float) -> float:
    """Of the stature by the ankle line, from the medians of the farthest and the nearest third.

    Those who have hardly moved say nothing of it: then the average camera counts.
    """
    order = np.argsort(stands[:, 0])
    third = (len(order) + 2) // 3
    run, rise, _ = np.median(stands[order[-third:]], axis=0) - np.median(stands[order[:third]], axis=0)
    doubted = doubt * (0.06 * float(np.median(stands[:, 1]))) ** 2
    return float(np.clip((rise * run + AVERAGE_SLOPE * doubted) / (run * run + doubted), 0.3, 4))
