"""Smoothing of keypoints, causal in training as live: a Kalman filter that trusts what the estimator is sure of.

Every keypoint moves with a velocity that accelerations at random change (Bar-Shalom, Li, Kirubarajan: Estimation with
Applications to Tracking and Navigation, 2001, section 6.2.2); it is measured with the deviation that its estimator
states. A body at rest accelerates little and one that moves much, so what it may do grows with its speed; so does it
where a measurement is farther away than both explain. Of a hand or a face all keypoints count as equally fast, so that
it stays rigid.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import FACE, LEFT_HAND, RIGHT_HAND, K

LEAST_WEIGHT = 0.1
"""How much less an unsure keypoint is believed than a sure one at most."""
_SURPRISE = 1.0
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


@dataclass(frozen=True, slots=True)
class SmoothStep:
    """What the filter knows after a pose, and what it had expected before; of K keypoints, in pixels and seconds."""

    pose: Pose
    """Smoothed by all poses up to this one."""
    at_s: float
    velocity: Floats
    """K 2."""
    covariance: Floats
    """3 K: variance of place, covariance of both, variance of velocity."""
    expected: "_Expected | None"
    """None where nothing was known."""


class _Expected(NamedTuple):
    """Where keypoints were expected to be; their velocity is the last step's."""

    xy: Floats
    """K 2."""
    covariance: Floats
    """3 K."""
    seen: NDArray[np.bool_]
    """K: whether they had been seen in the last step."""


class Smoother:
    """Owns the filter state of one person's keypoints."""

    def __init__(self, config: SmoothConfig = SmoothConfig()) -> None:
        self._config = config
        self._last: SmoothStep | None = None

    def reset(self) -> None:
        """Forget the past: the next pose passes unchanged."""
        self._last = None

    def smooth(self, pose: Pose, at_s: float) -> Pose:
        """Smooth `pose`, taken at `at_s` seconds; keypoints that were missing before pass unchanged."""
        return self.step(pose, at_s).pose

    def step(self, pose: Pose, at_s: float) -> SmoothStep:
        """The same, with what `look_back` needs."""
        last, noise = self._last, self._noise_px2(pose)
        if last is None or not 0 < at_s - last.at_s < 1:
            self._last = SmoothStep(pose, at_s, np.zeros((K, 2), np.float32), _at_first(noise), None)
            return self._last
        seen = (last.pose.confidence > 0) & (pose.confidence > 0)
        # Predict: where it goes on to, and how sure that is.
        elapsed_s = np.float32(at_s - last.at_s)
        expected = last.pose.xy + last.velocity * elapsed_s
        away = pose.xy - expected
        predicted = _predict(last.covariance, self._acceleration_px(pose, last.velocity), elapsed_s)
        predicted *= np.maximum(1, (away * away).sum(axis=1) / (2 * (predicted[0] + noise) * _SURPRISE))
        xx, xv, vv = predicted
        # Correct: the less sure the prediction is beside the measurement, the nearer to that.
        gain, velocity_gain = np.where(seen, (xx / (xx + noise), xv / (xx + noise)), [[1], [0]]).astype(np.float32)
        velocity = np.where(seen[:, None], last.velocity + velocity_gain[:, None] * away, np.float32(0))
        updated = np.stack([(1 - gain) * xx, (1 - gain) * xv, vv - velocity_gain * xv])
        covariance = np.where(seen, updated, _at_first(noise)).astype(np.float32)
        xy = np.where(seen[:, None], (expected + gain[:, None] * away).astype(np.float32), pose.xy)
        depth = last.pose.depth + gain * (pose.depth - last.pose.depth)
        smooth = Pose(xy, depth, pose.confidence, pose.deviation)
        self._last = SmoothStep(smooth, at_s, velocity, covariance, _Expected(expected, predicted, seen))
        return self._last

    def _noise_px2(self, pose: Pose) -> Floats:
        """K: the variance of what was measured."""
        usual = np.full(K, self._config.deviation, np.float32)
        usual[FACE] = self._config.face_deviation
        usual_px = usual * np.float32(stature_px(pose))
        # A Laplacian's mean absolute error is its deviation / sqrt 2.
        stated_px = np.where(np.isfinite(pose.deviation), np.float32(2**0.5) * pose.deviation, usual_px)
        weight = (pose.confidence / np.float32(self._config.sure)).clip(LEAST_WEIGHT, 1)
        return np.asarray((stated_px / weight) ** 2, np.float32)

    def _acceleration_px(self, pose: Pose, velocity: Floats) -> Floats:
        """K: the deviation of accelerations, pixels per second squared, at velocities K 2."""
        velocity = velocity.copy()
        for part in (LEFT_HAND, RIGHT_HAND, FACE):
            velocity[part] = velocity[part].mean(axis=0)
        rest = np.float32(self._config.rest_acceleration * stature_px(pose))
        return np.asarray(rest + self._config.agility_hz * np.linalg.norm(velocity, axis=1), np.float32)


def look_back(steps: Sequence[SmoothStep]) -> list[Pose]:
    """The poses of successive steps of one `Smoother`, each smoothed by those after it, too.

    The filter run backwards (Rauch, Tung and Striebel: Maximum Likelihood Estimates of Linear Dynamic Systems, 1965).
    """
    poses = list[Pose]()
    after: SmoothStep | None = None
    xy = velocity = np.zeros((K, 2), np.float32)
    for step in reversed(steps):
        if after is None or after.expected is None:
            xy, velocity = step.pose.xy, step.velocity
        else:
            surprise = np.stack([xy - after.expected.xy, velocity - step.velocity])
            correction = _backward_gain(step, after) @ surprise.transpose(1, 0, 2)
            correction *= after.expected.seen[:, None, None]
            xy, velocity = step.pose.xy + correction[:, 0], step.velocity + correction[:, 1]
        poses.append(replace(step.pose, xy=xy))
        after = step
    return poses[::-1]


def _backward_gain(step: SmoothStep, after: SmoothStep) -> Floats:
    """K 2 2: what place and velocity change by where those after it are elsewhere than expected."""
    assert after.expected is not None
    before, expected = (_matrices(each) for each in (step.covariance, after.expected.covariance))
    transition = np.array([[1, after.at_s - step.at_s], [0, 1]], np.float32)
    return np.asarray(before @ transition.T @ np.linalg.inv(expected), np.float32)


def _matrices(covariance: Floats) -> Floats:
    """3 K to K 2 2."""
    return covariance[[0, 1, 1, 2]].T.reshape(-1, 2, 2)


def _at_first(noise: Floats) -> Floats:
    """3 K: variance of place, covariance of both, variance of velocity, of keypoints that were seen once."""
    return np.stack([noise, np.zeros_like(noise), _FIRST_SPEED * _FIRST_SPEED * noise])


def _predict(covariance: Floats, acceleration: Floats, elapsed_s: np.float32) -> Floats:
    """The covariance, 3 K, when so much time has passed in which accelerations were white noise."""
    xx, xv, vv = covariance
    power = acceleration * acceleration * _PERIOD_S
    return np.stack(
        [
            xx + 2 * elapsed_s * xv + elapsed_s**2 * vv + power * elapsed_s**3 / 3,
            xv + elapsed_s * vv + power * elapsed_s**2 / 2,
            vv + power * elapsed_s,
        ]
    )
