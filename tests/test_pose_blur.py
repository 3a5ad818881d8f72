"""Motion blur: told where it is, and made for training."""

from itertools import islice

import cv2
import numpy as np
import pytest

from realtime.pose.blur import BlurMeter, edges_along, pose_flow, smear
from realtime.pose.estimate import PoseEstimator
from realtime.pose.pose import Floats
from realtime.pose.skeleton import INDEX, LEFT_HAND
from realtime.video import read_video
from tests.commands import DATA
from tests.people import standing

NOISE = np.asarray(
    cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8), (0, 0), 1.5), np.uint8
)
CENTRE = np.array([64, 64], np.float32)


def flow(x_px: float, y_px: float) -> Floats:
    return np.tile(np.array([x_px, y_px], np.float32), (128, 128, 1))


def test_no_motion_leaves_the_picture_and_never_shares_it() -> None:
    same = smear(NOISE, flow(0, 0))
    assert np.array_equal(same, NOISE)
    assert not np.shares_memory(same, NOISE)


def test_a_dot_becomes_a_line_as_long_as_its_way() -> None:
    dark = np.zeros((128, 128, 3), np.uint8)
    dark[63:66, 63:66] = 255
    smeared = smear(dark, flow(20, 0))
    ys, xs = np.nonzero(smeared[..., 0] > 4)
    assert ys.min() == 63
    assert ys.max() == 65
    assert np.ptp(xs) == pytest.approx(22, abs=1)
    assert xs.mean() == pytest.approx(64, abs=0.6), "the exposure's middle is the picture itself"


def test_edges_go_along_the_motion_only() -> None:
    for direction in (np.array([1, 0], np.float32), np.array([0, 1], np.float32)):
        way = direction * 8
        sharp = edges_along(NOISE, CENTRE, direction, 30)
        blurred = edges_along(smear(NOISE, flow(*way)), CENTRE, direction, 30)
        assert sharp is not None
        assert blurred is not None
        assert 0.7 < sharp < 1.4
        assert blurred < 0.4 * sharp
    assert edges_along(NOISE, np.array([2, 64], np.float32), CENTRE, 30) is None
    assert edges_along(np.zeros_like(NOISE), CENTRE, CENTRE, 30) is None


def test_only_what_moves_is_smeared() -> None:
    past, pose = standing(), standing()
    arm = [INDEX["left_wrist"], INDEX["left_elbow"], *range(LEFT_HAND.start, LEFT_HAND.stop)]
    xy = pose.xy.copy()
    xy[arm] += (0, 12)
    moved = pose_flow(past, type(pose)(xy, pose.depth, pose.confidence), 128, 128)
    assert moved.shape == (128, 128, 2)
    x, y, foot_x, foot_y = (round(v) for v in (*pose.at("left_wrist"), *pose.at("right_ankle")))
    assert 6 < moved[y + 12, x, 1] <= 12
    assert np.abs(moved[foot_y, foot_x]).max() < 0.5
    assert np.abs(moved[:8, :8]).max() < 0.5


def test_a_long_exposure_lowers_the_sharpness_of_real_footage() -> None:
    """As it is, and as a camera that exposes for the whole frame would have filmed it."""
    estimator, past = PoseEstimator(), None
    sharp, smeared = BlurMeter(least=8), BlurMeter(least=8)
    for rgb, _ in islice(read_video(DATA / "bob_clip.mp4"), 40, 140):
        pose = estimator.estimate(rgb)
        sharp.see(rgb, pose)
        if pose is not None and past is not None:
            smeared.see(smear(rgb, pose_flow(past, pose, rgb.shape[1], rgb.shape[0])), pose)
        past = pose
    assert sharp.sharpness is not None
    assert smeared.sharpness is not None
    assert not sharp.blurred, sharp.sharpness
    assert smeared.sharpness < 0.6 * sharp.sharpness


def test_it_says_nothing_before_it_has_seen_enough() -> None:
    meter = BlurMeter()
    for i in range(30):
        meter.see(NOISE, standing(x=4.0 * (i % 2)))
    assert meter.sharpness is None
    assert not meter.blurred
