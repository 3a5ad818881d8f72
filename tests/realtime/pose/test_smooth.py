"""The smoothing of keypoints."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, K
from realtime.pose.smooth import SmoothConfig, Smoother, SmoothStep, look_back
from tests.support.numbers import floats
from tests.support.standing_pose import standing

STATURE_PX = 88


def test_first_pose_passes_unchanged_and_reset_forgets() -> None:
    smoother = Smoother()
    one, two = standing(), standing(x=5)
    assert smoother.smooth(one, 0.0) is one
    assert not np.allclose(smoother.smooth(two, 1 / 30).xy, two.xy)
    smoother.reset()
    assert smoother.smooth(two, 2 / 30) is two


@pytest.mark.parametrize("fps", [24, 30, 60, 120])
def test_jitter_shrinks_at_every_frame_rate(fps: int) -> None:
    rng, smoother, still = np.random.default_rng(0), Smoother(), standing()
    raw, smooth = [], []
    for i in range(2 * fps):
        pose = Pose(still.xy + rng.normal(0, 0.3, (K, 2)).astype(np.float32), still.depth, still.confidence)
        raw.append(pose.xy)
        smooth.append(smoother.smooth(pose, i / fps).xy)
    settled = np.std(smooth[fps:], axis=0).mean() / np.std(raw[fps:], axis=0).mean()
    assert settled < 0.75, f"{settled:.2f} of the jitter is left at {fps} fps"


@pytest.mark.parametrize("fps", [24, 30, 60, 120])
def test_fast_moves_lag_little(fps: int) -> None:
    smoother, wrist = Smoother(), INDEX["left_wrist"]
    for i in range(fps):
        pose = standing(x=240.0 * i / fps)  # nearly three statures a second
        shown = smoother.smooth(pose, i / fps)
    lag_s = float(pose.xy[wrist, 0] - shown.xy[wrist, 0]) / 240
    assert 0 <= lag_s < 0.003, f"{lag_s * 1000:.1f} ms behind"


def test_a_head_that_sways_slowly_does_not_lag() -> None:
    """What moves more slowly than noise seems to is no noise; 4 px a second are a twentieth of a stature."""
    smoother = Smoother()
    for i in range(60):
        pose = standing(x=4.0 * i / 30)
        shown = smoother.smooth(pose, i / 30)
    lag_s = float((pose.xy - shown.xy)[FACE, 0].mean()) / 4
    assert abs(lag_s) < 0.01, f"{lag_s * 1000:.1f} ms behind"


def wave(at_s: float, hz: float, reach_px: float) -> Pose:
    """The left arm waves, the rest stands."""
    pose = standing()
    xy = pose.xy.copy()
    arm = [INDEX["left_wrist"], *range(LEFT_HAND.start, LEFT_HAND.stop)]
    xy[arm] += np.float32(reach_px) * np.array([np.sin(2 * np.pi * hz * at_s), np.cos(3 * hz * at_s)], np.float32)
    return Pose(xy, pose.depth, pose.confidence)


def track(fps: int, hz: float, reach_px: float, seconds: int = 1) -> Floats:
    """The smoothed wrist, F 2."""
    smoother = Smoother()
    shown = [smoother.smooth(wave(i / fps, hz, reach_px), i / fps).at("left_wrist") for i in range(seconds * fps)]
    return np.array(shown, np.float32)


@settings(max_examples=20)
@given(hz=floats(0.1, 1.5), reach_px=floats(1, 25))
def test_all_frame_rates_give_nearly_the_same_track(hz: float, reach_px: float) -> None:
    """One motion, filmed at 24 to 120 fps: less than 0.3 % of the stature lies between the tracks."""
    finest = track(120, hz, reach_px)
    for fps in (24, 30, 60):
        difference_px = np.linalg.norm(track(fps, hz, reach_px) - finest[:: 120 // fps], axis=1).max()
        assert difference_px < 0.003 * STATURE_PX, f"{difference_px:.2f} px apart at {fps} fps"


def test_a_keypoint_that_comes_back_is_taken_where_it_is() -> None:
    smoother, hand = Smoother(), INDEX["left_hand_wrist"]
    pose = standing()
    confidence = pose.confidence.copy()
    confidence[hand] = 0
    xy = pose.xy.copy()
    xy[hand] = 0
    smoother.smooth(Pose(xy, pose.depth, confidence), 0.0)
    back = smoother.smooth(pose, 1 / 30)
    assert np.array_equal(back.xy[hand], pose.xy[hand])


def test_unsure_keypoints_follow_more_slowly() -> None:
    still, moved = standing(), standing(x=0.3)

    def follows(confidence: float, deviation_px: float) -> float:
        smoother = Smoother()
        sureness, stated = np.full(K, confidence, np.float32), np.full(K, deviation_px, np.float32)
        for i in range(30):
            smoother.smooth(Pose(still.xy, still.depth, sureness, stated), i / 30)
        shown = smoother.smooth(Pose(moved.xy, still.depth, sureness, stated), 1)
        return float(shown.xy[0, 0] - still.xy[0, 0])

    assert 0 < follows(0.1, 0.4) < 0.7 * follows(1, 0.4)
    assert 0 < follows(1, 1.6) < 0.7 * follows(1, 0.4), "its estimator states a larger deviation"


def test_a_hand_stays_rigid() -> None:
    """Noise on its keypoints does not let some of them lag behind the others."""
    rng, smoother = np.random.default_rng(0), Smoother()
    for i in range(30):
        pose = standing(x=100 * i / 30)
        noisy = Pose(pose.xy + rng.normal(0, 0.5, (K, 2)).astype(np.float32), pose.depth, pose.confidence)
        shown = smoother.smooth(noisy, i / 30)
        lags = (noisy.xy - shown.xy)[LEFT_HAND]
    assert np.ptp(lags[:, 0]) < 2, "steady noise only, not a different lag each"


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="rest_acceleration"):
        SmoothConfig(rest_acceleration=0)


def measured(seed: int, frames: int = 90) -> tuple[list[Pose], list[Pose], list[SmoothStep]]:
    """An arm that waves, the same as a noisy estimator sees it, and the steps of its smoothing."""
    rng, smoother = np.random.default_rng(seed), Smoother()
    truths = [wave(i / 30, 0.7, 15) for i in range(frames)]
    seen = [replace(pose, xy=pose.xy + rng.normal(0, 0.5, (K, 2)).astype(np.float32)) for pose in truths]
    return truths, seen, [smoother.step(pose, i / 30) for i, pose in enumerate(seen)]


def test_looking_back_is_truer_and_steadier() -> None:
    truths, seen, steps = measured(0)
    forward, both = [step.pose for step in steps], look_back(steps)

    def error_px(poses: Sequence[Pose]) -> float:
        away = [np.linalg.norm(pose.xy - truth.xy, axis=1).mean() for pose, truth in zip(poses, truths, strict=True)]
        return float(np.mean(away))

    def jitter_px(poses: Sequence[Pose]) -> float:
        return float(
            np.abs(np.diff([pose.xy - truth.xy for pose, truth in zip(poses, truths, strict=True)], 2, 0)).mean()
        )

    assert error_px(both) < 0.8 * error_px(forward) < 0.8 * error_px(seen)
    assert jitter_px(both) < 0.7 * jitter_px(forward)
    assert np.array_equal(both[-1].xy, forward[-1].xy), "nothing comes after the last one"


def test_looking_back_is_the_likeliest_track() -> None:
    """Beside the slow twin: what motion and all measurements make likeliest, solved for at once, of one keypoint."""
    _, seen, steps = measured(1, frames=12)
    nose, forth = INDEX["nose"], np.array([[1, 1 / 30], [0, 1]])
    noise_px2 = steps[0].covariance[0, nose]
    at_first = np.linalg.inv(steps[0].covariance[[0, 1, 1, 2], nose].reshape(2, 2))
    certainty, right = np.zeros((24, 24)), np.zeros((24, 2))
    certainty[:2, :2], right[:2] = at_first, at_first @ [seen[0].xy[nose], [0, 0]]
    for i, (step, after) in enumerate(pairwise(steps), 1):
        assert after.expected is not None
        before, expected = (
            each[[0, 1, 1, 2], nose].reshape(2, 2) for each in (step.covariance, after.expected.covariance)
        )
        change = np.zeros((2, 24))
        change[:, 2 * i - 2 : 2 * i], change[:, 2 * i : 2 * i + 2] = -forth, np.eye(2)
        certainty += change.T @ np.linalg.inv(expected - forth @ before @ forth.T) @ change
        certainty[2 * i, 2 * i] += 1 / noise_px2
        right[2 * i] += seen[i].xy[nose] / noise_px2
    likeliest = np.linalg.solve(certainty, right)[::2]
    assert np.allclose([pose.xy[nose] for pose in look_back(steps)], likeliest, atol=0.03)
