"""Causal smoothing of keypoints, in training as live: a Kalman filter that trusts what the estimator is sure of.

Every keypoint moves with a velocity that accelerations at random change (Bar-Shalom, Li, Kirubarajan: Estimation with
Applications to Tracking and Navigation, 2001, section 6.2.2); it is measured with the deviation that its estimator
states. A body at rest accelerates little and one that moves much, so what it may do grows with its speed; so does it
where a measurement is farther away than both explain. Of a hand or a face all keypoints count as equally fast, so that
it stays rigid.
"""

from dataclasses import dataclass

import numpy as np

from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import FACE, LEFT_HAND, RIGHT_HAND, K

LEAST_WEIGHT = 0.1
"""How much less an unsure keypoint is believed than a sure one at most."""
_SURPRISE = 3.0
"""Squared distances of a measurement, in its expected ones, from which on the motion is doubted rather than it."""
_FIRST_SPEED = 200
"""Deviation of the velocity of what was seen once, in deviations of its place per second."""
_PERIOD_S = np.float32(1 / 30)
"""How long an acceleration lasts that `SmoothConfig` speaks of."""


@dataclass(frozen=True, kw_only=True)
class SmoothConfig:
    """How much jitter is traded for lag. Lengths are in statures, so size and frame rate do not matter."""

    rest_acceleration: float = 0.3
    """Statures per second squared, the deviation of a keypoint's acceleration at rest: lower is steadier."""
    agility_hz: float = 20.0
    """What is added to it per stature per second of speed: higher lags less in fast moves."""
    deviation: float = 0.006
    """Statures: the deviation of keypoints whose estimator does not say."""
    face_deviation: float = 0.002
    """The same of the face's, whose network places all of them together."""
    sure: float = 0.5
    """Keypoints less confident than this are believed less, in proportion."""

    def __post_init__(self) -> None:
        for name in ("rest_acceleration", "deviation", "face_deviation", "sure"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)}")


class Smoother:
    """Owns the filter state of one person's keypoints."""

    def __init__(self, config: SmoothConfig = SmoothConfig()) -> None:
        self._config = config
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next pose passes unchanged."""
        self._smooth: Pose | None = None
        self._at_s = 0.0

    def smooth(self, pose: Pose, at_s: float) -> Pose:
        """Smooth `pose`, taken at `at_s` seconds; keypoints that were missing before pass unchanged."""
        last, elapsed_s = self._smooth, at_s - self._at_s
        self._at_s = at_s
        noise = self._noise_px2(pose)
        if last is None or not 0 < elapsed_s < 1:
            self._velocity = np.zeros((K, 2), np.float32)
            self._covariance = _at_first(noise)
            self._smooth = pose
            return pose
        seen = (last.confidence > 0) & (pose.confidence > 0)
        # Predict: where it goes on to, and how sure that is.
        expected = last.xy + self._velocity * np.float32(elapsed_s)
        away = pose.xy - expected
        xx, xv, vv = _predict(self._covariance, self._acceleration_px(pose), np.float32(elapsed_s))
        doubt = np.maximum(1, (away * away).sum(axis=1) / (2 * (xx + noise) * _SURPRISE))
        xx, xv, vv = xx * doubt, xv * doubt, vv * doubt
        # Correct: the less sure the prediction is beside the measurement, the nearer to that.
        gain, velocity_gain = np.where(seen, (xx / (xx + noise), xv / (xx + noise)), [[1], [0]]).astype(np.float32)
        self._velocity = np.where(seen[:, None], self._velocity + velocity_gain[:, None] * away, np.float32(0))
        updated = np.stack([(1 - gain) * xx, (1 - gain) * xv, vv - velocity_gain * xv])
        self._covariance = np.where(seen, updated, _at_first(noise)).astype(np.float32)
        xy = (expected + gain[:, None] * away).astype(np.float32)
        depth = last.depth + gain * (pose.depth - last.depth)
        self._smooth = Pose(np.where(seen[:, None], xy, pose.xy), depth, pose.confidence, pose.deviation)
        return self._smooth

    def _noise_px2(self, pose: Pose) -> Floats:
        """K: the variance of what was measured."""
        usual = np.full(K, self._config.deviation, np.float32)
        usual[FACE] = self._config.face_deviation
        usual_px = usual * np.float32(stature_px(pose))
        # A Laplacian's mean absolute error is its deviation / sqrt 2.
        stated_px = np.where(np.isfinite(pose.deviation), np.float32(2**0.5) * pose.deviation, usual_px)
        weight = (pose.confidence / np.float32(self._config.sure)).clip(LEAST_WEIGHT, 1)
        return np.asarray((stated_px / weight) ** 2, np.float32)

    def _acceleration_px(self, pose: Pose) -> Floats:
        """K: the deviation of accelerations, pixels per second squared."""
        velocity = self._velocity.copy()
        for part in (LEFT_HAND, RIGHT_HAND, FACE):
            velocity[part] = velocity[part].mean(axis=0)
        rest = np.float32(self._config.rest_acceleration * stature_px(pose))
        return np.asarray(rest + self._config.agility_hz * np.linalg.norm(velocity, axis=1), np.float32)


def _at_first(noise: Floats) -> Floats:
    """3 K: variance of place, covariance of both, variance of velocity, of keypoints that were seen once."""
    return np.stack([noise, np.zeros_like(noise), _FIRST_SPEED * _FIRST_SPEED * noise])


def _predict(covariance: Floats, acceleration: Floats, elapsed_s: np.float32) -> tuple[Floats, Floats, Floats]:
    """The covariance when so much time has passed in which accelerations were white noise."""
    xx, xv, vv = covariance
    power = acceleration * acceleration * _PERIOD_S
    return (
        xx + 2 * elapsed_s * xv + elapsed_s**2 * vv + power * elapsed_s**3 / 3,
        xv + elapsed_s * vv + power * elapsed_s**2 / 2,
        vv + power * elapsed_s,
    )
