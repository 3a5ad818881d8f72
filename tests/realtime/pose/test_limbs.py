"""The stick figure."""

import numpy as np
import pytest

from realtime.pose.figure.limbs import draw
from realtime.pose.pose import Pose
from realtime.pose.skeleton import BODY, FACE, INDEX, LEFT_HAND, RIGHT_HAND, K
from tests.support.standing_pose import standing


def test_nobody_is_an_empty_canvas() -> None:
    assert not draw(None, 64).any()


def test_is_deterministic_and_never_shares_memory() -> None:
    one, two = draw(standing(), 128), draw(standing(), 128)
    assert np.array_equal(one, two)
    assert not np.shares_memory(one, two)


def test_left_is_warm_and_right_is_cool() -> None:
    pose = standing()
    canvas = draw(pose, 128).astype(int)
    for side, sign in (("left", 1), ("right", -1)):
        (x0, y0), (x1, y1) = pose.at(f"{side}_hip"), pose.at(f"{side}_knee")
        red, _, blue = canvas[round((y0 + y1) / 2), round((x0 + x1) / 2)]
        assert sign * (red - blue) > 60, f"{side}: red {red}, blue {blue}"


def test_the_nearer_limb_lies_on_top() -> None:
    pose = standing()
    xy, depth = pose.xy.copy(), pose.depth.copy()
    left = [INDEX["left_hip"], INDEX["left_knee"]]
    right = [INDEX["right_hip"], INDEX["right_knee"]]
    xy[right] = xy[left]
    middle = xy[left].mean(axis=0).round().astype(int)
    colors = []
    for nearer in (left, right):
        depth[:] = 0
        depth[nearer] = -10
        colors.append(tuple(draw(Pose(xy, depth, pose.confidence), 128)[middle[1], middle[0]]))
    assert colors[0] != colors[1]


@pytest.mark.parametrize("part", [LEFT_HAND, RIGHT_HAND, FACE, BODY])
def test_missing_keypoints_are_not_drawn(part: slice) -> None:
    pose = standing()
    confidence = pose.confidence.copy()
    confidence[part] = 0
    without = Pose(np.where(np.arange(K)[:, None] < 0, 0, pose.xy).astype(np.float32), pose.depth, confidence)
    assert draw(without, 128).sum() < draw(pose, 128).sum()
    moved = without.xy.copy()
    moved[part] = 0
    # Wherever a missing keypoint claims to be, no pixel depends on it. (But the neck needs the ears.)
    if part is not BODY:
        assert np.array_equal(draw(without, 128), draw(Pose(moved, pose.depth, confidence), 128))


def test_fading_is_continuous() -> None:
    pose = standing()
    sums = []
    for value in np.linspace(0, 1, 101, dtype=np.float32):
        confidence = pose.confidence.copy()
        confidence[INDEX["left_wrist"]] = value
        sums.append(int(draw(Pose(pose.xy, pose.depth, confidence), 128).sum()))
    assert np.abs(np.diff(sums)).max() < 0.1 * (max(sums) - min(sums))
    assert sums[0] < sums[-1]


def test_keypoints_far_outside_do_not_break_it() -> None:
    pose = standing()
    xy = pose.xy.copy()
    xy[INDEX["left_wrist"]] = (1e7, -1e7)
    assert draw(Pose(xy, pose.depth, pose.confidence), 64).shape == (64, 64, 3)


def test_a_wide_canvas_shows_the_same_figure() -> None:
    wide = draw(standing(), 128, 256)
    assert wide.shape == (128, 256, 3)
    assert np.array_equal(wide[:, :128], draw(standing(), 128))
