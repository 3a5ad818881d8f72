"""Whether the camera stands still, and where the footage is cut."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.measure import middle, stature_px
from realtime.pose.pose import Pose
from trainer.footage.plate import PlateEstimator, person_mask

STILL = 0.0015
"""Shift of the room, in picture heights, up to which the camera stands still: 0.8 of 512 pixels. On a tripod it is 20
times less, in a steady hand (half a pixel of tremble) twice as much (docs/log.md)."""
FEATURES = 8
"""Fewer corners than this in a room say nothing of the camera: then its plate is right wherever it points."""
CUT = 0.12
"""Mean difference of two successive pictures, 0..1, from which they are of two takes; a dancer makes 0.03."""
LEAP = 0.4
"""Statures from picture to picture that nobody's hips move."""


def room_shift(pictures: Sequence[Rgb], poses: Sequence[Pose | None]) -> float:
    """How far the room moves in the picture, in picture heights: the 90 % quantile over the footage.

    Args:
        pictures: some of the footage, uint8 [H, W, 3], small ones do.
        poses: who is where in them, in their pixels.

    Returns:
        1 when the room is never the same.
    """
    estimator = PlateEstimator(len(pictures))
    for picture, pose in zip(pictures, poses, strict=True):
        estimator.add(picture, pose)
    plate = cv2.cvtColor(estimator.estimate(), cv2.COLOR_RGB2GRAY)
    corners = cv2.goodFeaturesToTrack(plate, 200, 0.02, 6)
    if corners is None or len(corners) < FEATURES:
        return 0.0
    shifts_px, found = [], []
    for picture, pose in zip(pictures, poses, strict=True):
        covered = person_mask(pose, plate.shape)
        x, y = corners[:, 0].astype(int).T
        open_corners = corners[~covered[y, x]]
        if len(open_corners) < FEATURES:
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


def cuts(changes: NDArray[np.float64]) -> NDArray[np.intp]:
    """Numbers of the pictures that begin another take, from the mean differences to the picture before (0..1)."""
    usual = float(np.nanmedian(changes)) if np.isfinite(changes).any() else 0.0
    return np.flatnonzero(np.nan_to_num(changes) > max(CUT, 4 * usual))


def leaps(poses: Sequence[Pose | None]) -> NDArray[np.intp]:
    """Numbers of the poses that no body can reach from the one before: another person, or a cut in the same room."""
    found = []
    for number, (past, pose) in enumerate(pairwise(poses), 1):
        if past is not None and pose is not None:
            moved = np.hypot(*(middle(pose, "hip") - middle(past, "hip")))
            if moved > LEAP * stature_px(pose):
                found.append(number)
    return np.array(found, np.intp)
