"""Causal smoothing of keypoints, in training as live: the One-Euro filter (Casiez, Roussel, Vogel, CHI 2012).

Three things differ from the paper. Speeds are differences of the unfiltered keypoints: those against the filtered ones
grow with the frame rate. Speeds below the noise's own do not open the filter. A hand has one speed, and so has a face:
the mean of its keypoints, which hardly trembles, and it stays rigid.
"""

from dataclasses import dataclass

import numpy as np

from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import FACE, LEFT_HAND, RIGHT_HAND

LEAST_WEIGHT = 0.1
"""How much slower than a sure keypoint an unsure one follows at most."""


@dataclass(frozen=True, kw_only=True)
class SmoothConfig:
    """How much jitter is traded for lag. Speeds are in statures per second, so size and frame rate do not matter."""

    min_cutoff_hz: float = 1.5
    """Cut-off at rest: lower is steadier."""
    beta: float = 50.0
    """Hz added per stature per second of speed: higher lags less in fast moves."""
    noise_speed: float = 0.08
    """Statures per second that an estimator's noise alone looks like: they count as rest."""
    speed_cutoff_hz: float = 4.0
    """Cut-off of the speed's own filter."""
    sure: float = 0.5
    """Keypoints less confident than this follow more slowly, in proportion."""

    def __post_init__(self) -> None:
        for name in ("min_cutoff_hz", "speed_cutoff_hz", "sure"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)}")


class Smoother:
    """Owns the filter state of one person's keypoints."""

    def __init__(self, config: SmoothConfig = SmoothConfig()) -> None:
        self._config = config
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next pose passes unchanged."""
        self._past: Pose | None = None  # as it came
        self._smooth: Pose | None = None
        self._speed: Floats | None = None
        self._at_s = 0.0

    def smooth(self, pose: Pose, at_s: float) -> Pose:
        """Smooth `pose`, taken at `at_s` seconds; keypoints that were missing before pass unchanged."""
        past, smooth, elapsed_s = self._past, self._smooth, at_s - self._at_s
        self._past, self._at_s = pose, at_s
        if past is None or smooth is None or self._speed is None or not 0 < elapsed_s < 1:
            self._smooth, self._speed = pose, np.zeros_like(pose.xy)
            return pose
        config = self._config
        seen = (past.confidence > 0) & (pose.confidence > 0)
        speed = _rigid((pose.xy - past.xy) / np.float32(elapsed_s))
        speed = self._speed + _gain(np.float32(config.speed_cutoff_hz), elapsed_s) * (speed - self._speed)
        self._speed = np.where(seen[:, None], speed, np.float32(0))
        statures_per_s = np.linalg.norm(self._speed, axis=1) / np.float32(stature_px(pose))
        cutoff_hz = config.min_cutoff_hz + config.beta * (statures_per_s - np.float32(config.noise_speed)).clip(0)
        weight = (pose.confidence / np.float32(config.sure)).clip(LEAST_WEIGHT, 1)
        a = np.where(seen, _gain(weight * cutoff_hz, elapsed_s), np.float32(1))
        xy = smooth.xy + a[:, None] * (pose.xy - smooth.xy)
        depth = smooth.depth + a * (pose.depth - smooth.depth)
        self._smooth = Pose(xy, depth, pose.confidence)
        return self._smooth


def _rigid(speed: Floats) -> Floats:
    """Give every keypoint of a hand or the face the mean speed of it, K 2."""
    for part in (LEFT_HAND, RIGHT_HAND, FACE):
        speed[part] = speed[part].mean(axis=0)
    return speed


def _gain(cutoff_hz: np.float32 | Floats, elapsed_s: float) -> Floats:
    """The weight of the new value in a first-order low-pass filter; at any frame rate it lags a steady move alike."""
    turn = np.float32(2 * np.pi * elapsed_s) * cutoff_hz
    return np.asarray(turn / (turn + 1), np.float32)
