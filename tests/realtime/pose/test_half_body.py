"""Performers whose feet the camera does not see."""

from itertools import pairwise

import numpy as np
import pytest

from realtime.pose.measure import ankle_line_px, middle, stature_px
from realtime.pose.normalization.normalizer import Normalizer
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX
from tests.realtime.pose.test_normalizer import SIZE_PX, TARGET, stands_at, unseen
from tests.support.standing_pose import standing

LEGS = [f"{side}_{joint}" for side in ("left", "right") for joint in ("knee", "ankle", "heel", "foot_index")]


def at_the_desk(lean: float = 1.0) -> Pose:
    """Near the camera: the legs are somewhere below the picture, and their estimate is worth nothing."""
    pose = unseen(standing(scale=5 * lean), *LEGS)
    xy = pose.xy.copy()
    xy[[INDEX[joint] for joint in LEGS]] = (3, 900)
    return Pose(xy, pose.depth, pose.confidence)


def test_hips_and_shoulders_place_a_half_body_on_standing_legs() -> None:
    normalizer = Normalizer(TARGET, SIZE_PX)
    for i in range(60):
        shown = normalizer.normalize(at_the_desk(), i / 30)
    assert normalizer.half_body
    assert ankle_line_px(shown) == pytest.approx(TARGET.ankle_at(0.5), abs=0.5)
    assert stature_px(shown) == pytest.approx(TARGET.stature_at(0.5), rel=0.08)
    assert shown.confidence.min() == 1, "the legs are drawn"
    knees, hips = middle(shown, "knee"), middle(shown, "hip")
    assert hips[1] < knees[1] < ankle_line_px(shown)
    assert shown.at("right_ankle")[0] < shown.at("left_ankle")[0], "left is left"


def test_leaning_forward_does_not_blow_up_a_half_body() -> None:
    normalizer = Normalizer(TARGET, SIZE_PX)
    shown = [normalizer.normalize(at_the_desk(1 - 0.15 * np.sin(i / 8)), i / 30) for i in range(300)]
    lines = [ankle_line_px(pose) for pose in shown[60:]]
    assert max(lines) - min(lines) < 1


def test_feet_that_come_and_go_never_make_the_body_jump() -> None:
    normalizer, near = Normalizer(TARGET, SIZE_PX), stands_at(0.9)
    cut_off = unseen(near, *LEGS)
    past: Pose | None = None
    for i in range(30 * 30):
        pose = near if i // 150 % 2 == 0 else cut_off
        shown = normalizer.normalize(pose, i / 30)
        if i % 150 == 149:
            assert normalizer.half_body == (pose is cut_off)
        if past is not None:
            moved = np.abs(shown.xy[: INDEX["left_knee"]] - past.xy[: INDEX["left_knee"]]).max()
            assert moved < 0.01 * stature_px(shown), f"{moved:.1f} px at {i}"
        past = shown


@pytest.mark.parametrize("ankle", ["left_ankle", "right_ankle"])
def test_one_foot_is_enough_to_begin_with(ankle: str) -> None:
    """Crossed legs, say: the figure stands in the room from the first frame, and does not jump when both are seen."""
    normalizer = Normalizer(TARGET, SIZE_PX)
    whole = stands_at(0.5)
    shown = [normalizer.normalize(unseen(whole, ankle) if i < 30 else whole, i / 30) for i in range(60)]
    assert not normalizer.half_body
    assert stature_px(shown[0]) == pytest.approx(TARGET.stature_at(0.5), rel=0.15)
    steps = [np.abs(b.xy - a.xy).max() for a, b in pairwise(shown)]
    assert max(steps) < 0.01 * TARGET.stature_at(0.5)
