"""People who are small or large in the picture: bob's clip shrunk into a larger room, and cut out of his own."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import PoseEstimator
from realtime.pose.skeleton import BODY
from realtime.video import read_video

DATA = Path(__file__).parents[2] / "data"
BEGIN, COUNT = 100, 8
HEIGHT = 720
WIDTH = 1280
WITHIN_FRAMES = 20
"""In which somebody small is found: every part of the picture has been looked at by then."""


def landmarks() -> NDArray[np.float32]:
    """What the library saw in the frames: COUNT 33 2."""
    with np.load(DATA / "landmarks.npz") as recorded:
        return np.asarray(recorded["bob_clip_body"][BEGIN : BEGIN + COUNT, :, :2], np.float32)


def placed(share: float) -> tuple[list[Rgb], NDArray[np.float32]]:
    """The frames with bob `share` of the height high, off the middle, and where his landmarks are then."""
    truth = landmarks()
    low, high = truth.min((0, 1)), truth.max((0, 1))
    scale = share * HEIGHT / (high[1] - low[1])
    center = (low + high) / 2
    spare = HEIGHT * (1 - share) / 2
    target = np.array([WIDTH / 2 + 0.6 * spare, HEIGHT / 2 + 0.8 * spare])
    move = np.column_stack([np.eye(2) * scale, target - scale * center])
    pictures = []
    for rgb, _ in islice(read_video(DATA / "bob_clip.mp4"), BEGIN, BEGIN + COUNT):
        sharp = cv2.GaussianBlur(rgb, (0, 0), 0.5 / scale) if scale < 1 else rgb
        room = cv2.warpAffine(sharp, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        pictures.append(np.asarray(room, np.uint8))
    return pictures, (truth * scale + move[:, 2]).astype(np.float32)


@pytest.mark.parametrize(("share", "limit"), [(0.2, 0.01), (0.35, 0.01), (0.6, 0.01), (1.0, 0.015)])
def test_a_person_of_any_size(share: float, limit: float) -> None:
    estimator = PoseEstimator(config=PoseConfig(estimator="own", pose_parts="body"))
    pictures, truth = placed(share)
    found = next((n for n in range(WITHIN_FRAMES) if estimator.estimate(pictures[0]) is not None), None)
    assert found is not None
    assert share < 0.5 or found == 0
    errors = []
    for rgb, expected in zip(pictures, truth, strict=True):
        pose = estimator.estimate(rgb)
        assert pose is not None
        errors.append(np.linalg.norm(pose.xy[BODY] - expected, axis=1) / (share * HEIGHT))
    assert np.median(errors) <= limit


def test_nobody_is_found_in_any_part_of_an_empty_room() -> None:
    estimator = PoseEstimator(config=PoseConfig(pose_parts="body"))
    for rgb, _ in islice(read_video(DATA / "bob_clip.mp4"), 18):
        assert estimator.estimate(rgb) is None
