"""The background without the person: whether it stands still in the picture, and its plate."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose

STILL = 0.0015
"""Shift of the background, in picture heights, up to which the camera counts as still: 0.8 of 512 pixels. A tripod
gives 20 times less, a steady hand (half a pixel of tremble) twice as much (docs/log.md)."""
LEAST_CORNERS = 8
"""With fewer corners than this nothing can be said about the camera, and a plate fits wherever it points."""
PLATE_SAMPLES = 160
"""Pictures that are kept, spread over the footage: enough for a quantile, few enough for memory."""
QUANTILE = 0.75
"""Above the median, because shadows only darken: where the person's shadow lies most of the time, the median is the
shadow."""
MOST_BYTES = 700e6
"""Memory that the kept pictures may take."""


class PlateEstimator:
    """Estimates the plate: of every pixel, a quantile over the pictures in which the person does not cover it.

    Args:
        total: how many pictures will come, 0 when unknown.
    """

    def __init__(self, total: int) -> None:
        self._total, self._count = total, 0
        self._pictures: list[Rgb] = []
        self._covered: list[NDArray[np.bool_]] = []

    def add(self, picture: Rgb, pose: Pose | None) -> None:
        """Add the next picture, uint8 [H, W, 3], and the pose in its pixels; only every n-th is kept."""
        most = min(2 * PLATE_SAMPLES, max(32, int(MOST_BYTES / (4 * picture[..., 0].size))))
        if self._count % max(1, self._total // (most // 2)) == 0 and len(self._pictures) < most:
            self._pictures.append(picture)
            self._covered.append(person_mask(pose, picture.shape[:2]))
        self._count += 1

    def estimate(self) -> Rgb:
        """The plate, uint8 [H, W, 3]. For a pixel that is always covered, all kept pictures count."""
        plate = np.empty_like(self._pictures[0])
        for row in range(len(plate)):  # row by row, to need little memory
            pictures = np.stack([picture[row] for picture in self._pictures]).astype(np.float32)
            covered = np.stack([mask[row] for mask in self._covered])
            covered &= ~covered.all(axis=0)
            pictures[covered] = np.inf  # sorts behind all values that count
            plate[row] = _quantile(np.sort(pictures, axis=0), len(pictures) - covered.sum(axis=0)).round()
        return plate


def _quantile(ordered: Floats, counts: NDArray[np.intp]) -> Floats:
    """`QUANTILE` of the first `counts` (W) of sorted values, N W 3: `np.quantile` of each pixel, 50 times as fast."""
    place = QUANTILE * (counts - 1)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, counts - 1)
    low, high = (np.take_along_axis(ordered, at[None, :, None], axis=0)[0] for at in (below, above))
    return np.asarray(low + (high - low) * (place - below)[:, None].astype(np.float32), np.float32)


def person_mask(pose: Pose | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """bool of `shape`, true where the person may be: the keypoints' hull, widened for flesh, hair and clothes."""
    mask = np.zeros(shape, np.uint8)
    if pose is not None and pose.confidence.any():
        hull = cv2.convexHull(pose.xy[pose.confidence > 0])
        cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), 1)
        margin = 2 * round(0.1 * stature_px(pose)) + 1
        mask = np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin))), np.uint8)
    return mask.astype(bool)


def background_shift(pictures: Sequence[Rgb], poses: Sequence[Pose | None]) -> float:
    """How far the background moves in the picture, in picture heights: the 90 % quantile over the pictures.

    Corners of the plate are tracked into every picture (Lucas-Kanade), those behind the person left out.

    Args:
        pictures: samples of the footage, uint8 [H, W, 3]; small ones do.
        poses: of the person in them, in their pixels.

    Returns:
        0 where there is too little to track; 1 where most corners are not found again.
    """
    estimator = PlateEstimator(len(pictures))
    for picture, pose in zip(pictures, poses, strict=True):
        estimator.add(picture, pose)
    plate = cv2.cvtColor(estimator.estimate(), cv2.COLOR_RGB2GRAY)
    corners = cv2.goodFeaturesToTrack(plate, 200, 0.02, 6)
    if corners is None or len(corners) < LEAST_CORNERS:
        return 0.0
    shifts_px, found = [], []
    for picture, pose in zip(pictures, poses, strict=True):
        covered = person_mask(pose, plate.shape)
        x, y = corners[:, 0].astype(int).T
        open_corners = corners[~covered[y, x]]
        if len(open_corners) < LEAST_CORNERS:
            continue
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        moved, state, _ = cv2.calcOpticalFlowPyrLK(plate, grey, open_corners, open_corners.copy(), winSize=(15, 15))
        tracked = state[:, 0] == 1
        found.append(float(tracked.mean()))
        if tracked.any():
            shifts_px.append(float(np.hypot(*np.median((moved - open_corners)[tracked, 0], axis=0))))
    if not shifts_px or np.mean(found) < 0.5:
        return 1.0 if found else 0.0
    return float(np.quantile(shifts_px, 0.9)) / len(plate)
