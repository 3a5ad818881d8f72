"""Motion blur: told where it is."""

import cv2
import numpy as np
import pytest

from realtime.frame import Rgb
from realtime.pose.blur_meter import BlurMeter, fineness
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import PoseEstimator
from realtime.pose.pose import Floats
from realtime.video import read_video
from tests.support.commands import DATA
from tests.support.standing_pose import standing
from trainer.training.augment import pose_flow, smear

NOISE = np.asarray(
    cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8), (0, 0), 1.5), np.uint8
)
CENTRE = np.array([64, 64], np.float32)


def flow(x_px: float, y_px: float) -> Floats:
    return np.tile(np.array([x_px, y_px], np.float32), (128, 128, 1))


@pytest.mark.parametrize("way", [(8, 0), (0, 8), (6, -5)])
def test_a_change_is_smeared_along_the_motion_only(way: tuple[int, int]) -> None:
    moved = np.roll(NOISE, way, axis=(1, 0))
    direction = np.array(way, np.float32)
    across = direction[::-1] * (1, -1)
    long = [smear(rgb, flow(*way)) for rgb in (NOISE, moved)]

    def fine(pictures: list[Rgb], direction: Floats) -> float:
        value = fineness(pictures[0], pictures[1], CENTRE, direction, 30)
        assert value is not None
        return value

    sharp = fine([NOISE, moved], direction)
    assert fine(long, direction) < 0.6 * sharp
    assert fine(long, across.astype(np.float32)) > 0.8 * sharp


def test_what_does_not_move_is_not_looked_at() -> None:
    """A dot that passes in front of a room full of edges."""
    room = NOISE // 4
    values = []
    for behind in (room, np.zeros_like(room)):
        pictures = [behind.copy() for _ in range(2)]
        for picture, x in zip(pictures, (50, 70), strict=True):
            cv2.circle(picture, (x, 64), 6, (255, 255, 255), -1, cv2.LINE_AA)
        values.append(fineness(pictures[0], pictures[1], CENTRE, np.array([1, 0], np.float32), 30))
    assert values[0] == pytest.approx(values[1], rel=0.2)
    assert fineness(NOISE, NOISE, CENTRE, CENTRE, 30) is None
    assert fineness(NOISE, 255 - NOISE, np.array([2, 64], np.float32), CENTRE, 30) is None


def exposed(rgb: Rgb, motion: Floats, room: Rgb) -> Rgb:
    """As a camera sees it whose exposure is as long as the motion: the person is smeared, the room is not."""
    _, changed = cv2.threshold(cv2.cvtColor(cv2.absdiff(rgb, room), cv2.COLOR_RGB2GRAY), 8, 255, cv2.THRESH_BINARY)
    changed = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    person = np.asarray(cv2.cvtColor(changed, cv2.COLOR_GRAY2RGB), np.uint8)
    hidden = cv2.multiply(smear(person, motion), room, scale=1 / 255)
    return np.asarray(cv2.add(smear(rgb & person, motion), room - hidden), np.uint8)


@pytest.mark.parametrize(("name", "begin"), [("bob", 40), ("alice", 60)])
def test_a_long_exposure_is_told_from_a_short_one(name: str, begin: int) -> None:
    """Real footage as it is, and as a camera would have filmed it that exposes for the whole frame."""
    clip = [rgb for rgb, _ in read_video(DATA / f"{name}_clip.mp4")]
    room = clip[0] if name == "bob" else np.median(clip[::12], axis=0).astype(np.uint8)
    config = PoseConfig(pose_parts="hands")
    estimator, misled = PoseEstimator(config=config), PoseEstimator(config=config)
    sharp, smeared = BlurMeter(least=20), BlurMeter(least=20)
    past = None
    for rgb in clip[begin : begin + 100]:
        pose = estimator.estimate(rgb)
        sharp.see(rgb, pose)
        if pose is not None and past is not None:
            long = exposed(rgb, pose_flow(past, pose, rgb.shape[1], rgb.shape[0]), room)
            smeared.see(long, misled.estimate(long))
        past = pose
    assert not sharp.blurred, sharp.sharpness
    assert smeared.blurred, smeared.sharpness


def test_it_says_nothing_before_it_has_seen_enough() -> None:
    meter = BlurMeter()
    for i in range(30):
        meter.see(np.roll(NOISE, i, axis=1), standing(x=4.0 * (i % 2)))
    assert meter.sharpness is None
    assert not meter.blurred
