"""The paper's stick figure."""

import colorsys
import math
from itertools import pairwise

import cv2
import numpy as np
import pytest

from realtime.frame import Rgb
from realtime.pose.figure.edn import draw
from realtime.pose.pose import Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, NAMES, RIGHT_HAND
from tests.support.standing_pose import standing

HUES = {
    "nose": 340, "neck": 0, "right_shoulder": 20, "right_elbow": 40, "right_wrist": 60, "left_shoulder": 80,
    "left_elbow": 100, "left_wrist": 120, "middle_hip": 0, "right_hip": 140, "right_knee": 160, "right_ankle": 180,
    "left_hip": 200, "left_knee": 220, "left_ankle": 240, "right_eye": 320, "left_eye": 280, "right_ear": 300,
    "left_ear": 260, "left_foot_index": 240, "right_foot_index": 180,
}  # fmt: skip
CHAINS = (
    "neck right_shoulder", "neck left_shoulder", "right_shoulder right_elbow right_wrist",
    "left_shoulder left_elbow left_wrist", "neck middle_hip right_hip", "middle_hip left_hip",
    "right_hip right_knee right_ankle right_foot_index", "left_hip left_knee left_ankle left_foot_index",
    "neck nose right_eye right_ear", "nose left_eye left_ear",
)  # fmt: skip


def recipe(pose: Pose, size_px: int) -> Rgb:
    """The slow twin: joint by joint and limb by limb, each on the whole canvas."""
    canvas = np.full((size_px, size_px, 3), 255, np.uint8)
    seen = {name: (pose.at(name), float(pose.confidence[i])) for i, name in enumerate(NAMES)}
    for name, part in (("neck", "shoulder"), ("middle_hip", "hip")):
        ((x0, y0), left), ((x1, y1), right) = seen[f"left_{part}"], seen[f"right_{part}"]
        seen[name] = ((x0 + x1) / 2, (y0 + y1) / 2), min(left, right)

    def ellipse(on: Rgb, a: str, b: str, half_width: float, hue: float, value: float = 1.0) -> None:
        (x0, y0), (x1, y1) = seen[a][0], seen[b][0]
        along, turn = math.dist((x0, y0), (x1, y1)) / 2, math.atan2(y1 - y0, x1 - x0)
        across = half_width * size_px / 1080 - 0.5
        outline = []
        for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
            u, v = (along or across) * math.cos(angle), across * math.sin(angle)
            x = (x0 + x1) / 2 + u * math.cos(turn) - v * math.sin(turn)
            y = (y0 + y1) / 2 + u * math.sin(turn) + v * math.cos(turn)
            outline.append((round(16 * x), round(16 * y)))
        color = [255 * channel for channel in colorsys.hsv_to_rgb(hue / 360, 1, value)]
        cv2.fillConvexPoly(on, np.array(outline, np.int32), color, cv2.LINE_AA, 4)

    def limb(a: str, b: str, half_width: float, hue: float, value: float = 1.0) -> None:
        if min(seen[a][1], seen[b][1]) >= 0.05:
            over = canvas.copy()
            ellipse(over, a, b, half_width, hue, value)
            canvas[...] = cv2.addWeighted(over, 0.6, canvas, 0.4, 0)

    for name, hue in HUES.items():
        if seen[name][1] >= 0.05:
            ellipse(canvas, name, name, 8, hue)
    for chain in CHAINS:
        for a, b in pairwise(chain.split()):
            limb(a, b, 4, HUES[a])
    if pose.confidence[FACE].mean() >= 0.2:
        for i in (27, 30, 33, 8, 0, 16, 68, 69):
            ellipse(canvas, NAMES[FACE.start + i], NAMES[FACE.start + i], 3, 0, value=0)
    for side in ("left", "right"):
        for finger, hue in (("thumb", 0), ("index", 45), ("middle", 120), ("ring", 210), ("pinky", 290)):
            for a, b in pairwise(["wrist", *(f"{finger}_{i}" for i in range(1, 5))]):
                limb(f"{side}_hand_{a}", f"{side}_hand_{b}", 2, hue, value=0.9)
    return canvas


@pytest.mark.parametrize("size_px", [384, 512])
def test_it_is_the_recipe(size_px: int) -> None:
    random = np.random.default_rng(size_px)
    for case in range(12):
        at = standing(scale=size_px / 128 * random.uniform(0.3, 1.5), x=random.uniform(-0.5, 0.5) * size_px)
        xy = (at.xy + random.normal(0, 12, at.xy.shape)).astype(np.float32)
        confidence = random.uniform(0, 0.2 + 0.1 * case, len(xy)).astype(np.float32)
        pose = Pose(xy, at.depth, confidence)
        difference = np.abs(draw(pose, size_px).astype(int) - recipe(pose, size_px))
        assert np.count_nonzero(difference) < 50, "a corner may be rounded to the other sixteenth of a pixel"
        assert difference.max() < 64


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
