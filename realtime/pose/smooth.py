"""Causal smoothing of keypoints, in training as live: the One-Euro filter (Casiez, Roussel, Vogel, CHI 2012)."""

from dataclasses import dataclass

import numpy as np

from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose


@dataclass(frozen=True, kw_only=True)
class SmoothConfig:
    """How much jitter is traded for lag. Speeds are in statures per second, so size and frame rate do not matter."""

    min_cutoff_hz: float = 2.0
    """Cut-off at rest: lower is steadier."""
    beta: float = 12.0
    """Hz added per stature per second of speed: higher lags less in fast moves."""
    speed_cutoff_hz: float = 2.0
    """Cut-off of the speed's own filter."""


class Smoother:
    """Owns the filter state of one person's keypoints."""

    def __init__(self, config: SmoothConfig | None = None) -> None:
        self._config = config or SmoothConfig()
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next pose passes unchanged."""
        self._past: Pose | None = None
        self._speed: Floats | None = None
        self._at_s = 0.0

    def smooth(self, pose: Pose, at_s: float) -> Pose:
        """Smooth `pose`, taken at `at_s` seconds; keypoints that were missing before pass unchanged."""
        past, elapsed_s = self._past, at_s - self._at_s
        if past is None or self._speed is None or not 0 < elapsed_s < 1:
            self._past, self._speed, self._at_s = pose, np.zeros_like(pose.xy), at_s
            return pose
        seen = ((past.confidence > 0) & (pose.confidence > 0))[:, None]
        speed = (pose.xy - past.xy) / np.float32(elapsed_s)
        a_speed = _gain(np.float32(self._config.speed_cutoff_hz), elapsed_s)
        speed = np.where(seen, self._speed + a_speed * (speed - self._speed), np.float32(0))
        cutoff_hz = self._config.min_cutoff_hz + self._config.beta * np.linalg.norm(speed, axis=1) / stature_px(pose)
        a = np.where(seen, _gain(cutoff_hz.astype(np.float32), elapsed_s)[:, None], np.float32(1))
        xy = past.xy + a * (pose.xy - past.xy)
        depth = past.depth + a[:, 0] * (pose.depth - past.depth)
        self._past, self._speed, self._at_s = Pose(xy, depth, pose.confidence), speed, at_s
        return self._past


def _gain(cutoff_hz: np.float32 | Floats, elapsed_s: float) -> Floats:
    """The weight of the new value in a first-order low-pass filter."""
    turn = np.float32(2 * np.pi * elapsed_s) * cutoff_hz
    return np.asarray(turn / (turn + 1), np.float32)
