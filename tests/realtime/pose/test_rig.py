"""Keypoints by the names of rendered people's rig."""

import pytest

from realtime.pose.estimation.refined_points import BODY_POINTS
from realtime.pose.rig import rig_name
from realtime.pose.skeleton import LEFT_HAND, NAMES, RIGHT_HAND


@pytest.mark.parametrize(
    ("keypoint", "name"),
    [
        ("nose", "nose"), ("left_hip", "thigh_l"), ("right_pinky", "pinky_01_r"), ("left_hand_wrist", "hand_l"),
        ("right_hand_thumb_1", "thumb_01_r"), ("left_hand_middle_4", "middle_tip_l"),
    ],
)  # fmt: skip
def test_a_keypoint_is_where_a_bone_begins(keypoint: str, name: str) -> None:
    assert rig_name(keypoint) == name


def test_all_that_is_refined_has_a_place_of_its_own_in_the_rig() -> None:
    for points in (BODY_POINTS, NAMES[LEFT_HAND], NAMES[RIGHT_HAND]):
        assert len({rig_name(point) for point in points}) == len(points)


def test_the_rig_has_no_other_points() -> None:
    with pytest.raises(KeyError):
        rig_name("left_heel")
