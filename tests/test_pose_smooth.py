"""The causal smoother."""

import numpy as np
import pytest

from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX, K
from realtime.pose.smooth import Smoother
from tests.people import standing


def test_first_pose_passes_unchanged_and_reset_forgets() -> None:
    smoother = Smoother()
    one, two = standing(), standing(x=40)
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


def test_fast_moves_lag_little() -> None:
    smoother, wrist = Smoother(), INDEX["left_wrist"]
    for i in range(30):
        pose = standing(x=8.0 * i)  # 240 px/s, nearly three statures a second
        shown = smoother.smooth(pose, i / 30)
    lag_s = float(pose.xy[wrist, 0] - shown.xy[wrist, 0]) / 240
    assert 0 <= lag_s < 0.03, f"{lag_s * 1000:.0f} ms behind"


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
