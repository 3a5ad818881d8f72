"""The paper's stick figure, and the choice of a style."""

import hashlib
from itertools import pairwise

import cv2
import numpy as np
import pytest

from engines.errors import UserError
from realtime.pose.figure_edn import STYLE_VERSION, draw
from realtime.pose.pose import Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND
from realtime.pose.styles import load_style
from tests.people import standing, varied


@pytest.mark.parametrize(
    ("size_px", "digest"),
    [
        (384, "36afe22816df83dac70c9655eda976d0111ebea362f4ca7ca565131ebecee88a"),
        (512, "6c7640644c90f602e15b05dd919606416b7879743a29667fb30f37d8ae926c2f"),
    ],
)
def test_version_1_never_changes_a_pixel(size_px: int, digest: str) -> None:
    assert STYLE_VERSION == 1, "pin the new version's pixels"
    assert hashlib.sha256(draw(varied(size_px), size_px).tobytes()).hexdigest() == digest


def test_nobody_is_white() -> None:
    assert (draw(None, 64) == 255).all()


def without(pose: Pose, *parts: slice | int) -> Pose:
    confidence = pose.confidence.copy()
    for part in parts:
        confidence[part] = 0
    return Pose(pose.xy, pose.depth, confidence)


def test_a_small_figure_is_a_large_one_made_smaller() -> None:
    large = cv2.resize(draw(standing(scale=2880 / 128), 2880), (360, 360), interpolation=cv2.INTER_AREA)
    small = draw(standing(scale=360 / 128, x=-7 / 16, y=-7 / 16), 360)  # the centre of a block of pixels
    drawn = (large < 250).any(axis=2)
    difference = np.abs(large.astype(int) - small)[drawn]
    assert difference.mean() < 14
    assert (255.0 - small).sum() == pytest.approx((255.0 - large).sum(), rel=0.25), "lines of a pixel are fattest"


def test_a_limb_is_blended_over_white_in_the_colour_of_its_first_joint() -> None:
    pose = standing(scale=1080 / 128)
    canvas = draw(without(pose, FACE, LEFT_HAND, RIGHT_HAND), 1080)
    (x0, y0), (x1, y1) = pose.at("right_knee"), pose.at("right_ankle")
    middle = canvas[round((y0 + y1) / 2), round((x0 + x1) / 2)]
    assert np.abs(middle - (0.6 * np.array([0, 255, 170]) + 0.4 * 255)).max() <= 1
    row = canvas[round((y0 + y1) / 2)]
    assert (row[round((x0 + x1) / 2) - 12 : round((x0 + x1) / 2) + 12] != 255).any(axis=1).sum() in range(7, 11)
    dot = canvas[round(y1), round(x1) - 12 : round(x1) + 13]
    assert (dot != 255).any(axis=1).sum() in range(15, 20)


def test_joints_below_their_threshold_are_left_out() -> None:
    pose = standing()
    whole = draw(pose, 128)
    for name in ("left_wrist", "right_ankle", "nose", "left_shoulder"):
        assert draw(without(pose, INDEX[name]), 128).sum() > whole.sum()
    for limit, part in ((0.2, FACE), (0.05, LEFT_HAND)):
        canvases = []
        for value in (0, limit - 0.01, limit + 0.01, 1):
            confidence = pose.confidence.copy()
            confidence[part] = value
            canvases.append(draw(Pose(pose.xy, pose.depth, confidence), 128))
        assert [np.array_equal(a, b) for a, b in pairwise(canvases)] == [True, False, True]


def test_missing_keypoints_may_lie_anywhere() -> None:
    pose = without(standing(), FACE, LEFT_HAND, INDEX["right_elbow"])
    xy = pose.xy.copy()
    for part in (FACE, LEFT_HAND, INDEX["right_elbow"]):
        xy[part] = (-1e7, 1e7)
    assert np.array_equal(draw(pose, 128), draw(Pose(xy, pose.depth, pose.confidence), 128))
    assert draw(Pose(xy * 0 + 1e7, pose.depth, pose.confidence), 64).shape == (64, 64, 3)


def test_styles_are_chosen_by_name_and_version() -> None:
    for name in ("limbs", "edn"):
        style = load_style(name)
        assert load_style(name, style.version) == style
        assert (style.draw(None, 32, 64) == style.blank).all()
    with pytest.raises(UserError, match=r"'crayon'.*limbs and edn"):
        load_style("crayon")
    with pytest.raises(UserError, match=r"limbs are wanted in version 7.*version 1.*train again"):
        load_style("limbs", 7)
