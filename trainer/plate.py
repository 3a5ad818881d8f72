"""The empty room behind the person: a quantile over time of every pixel that the person does not cover.

Above the median, for shadows only darken: where the person's shadow lies most of the time, the median is the shadow.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.measure import stature_px
from realtime.pose.pose import Pose

SAMPLES = 160
"""Pictures that are kept, spread over the footage; enough for a quantile, small enough for memory."""
QUANTILE = 0.75


class PlateEstimator:
    """Collects pictures and where the person was in them.

    Args:
        total: how many pictures will come, 0 when unknown.
    """

    def __init__(self, total: int) -> None:
        self._every = max(1, total // SAMPLES)
        self._count = 0
        self._pictures: list[Rgb] = []
        self._covered: list[NDArray[np.bool_]] = []

    def add(self, picture: Rgb, pose: Pose | None) -> None:
        """Offer the next picture, uint8 [H, W, 3], and the pose in its pixels."""
        if self._count % self._every == 0 and len(self._pictures) < 2 * SAMPLES:
            self._pictures.append(picture)
            self._covered.append(person_mask(pose, picture.shape[:2]))
        self._count += 1

    def estimate(self) -> Rgb:
        """The plate, uint8 [H, W, 3]; a pixel that is always covered counts all pictures."""
        plate = np.empty_like(self._pictures[0])
        for row in range(len(plate)):  # row by row, to need little memory
            pictures = np.stack([picture[row] for picture in self._pictures]).astype(np.float32)
            covered = np.stack([mask[row] for mask in self._covered])
            covered &= ~covered.all(axis=0)
            pictures[covered] = np.nan
            plate[row] = np.nanquantile(pictures, QUANTILE, axis=0).round()
        return plate


def person_mask(pose: Pose | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """bool of `shape`, true where the person may be: the keypoints' hull, widened for flesh, hair and clothes."""
    mask = np.zeros(shape, np.uint8)
    if pose is not None:
        hull = cv2.convexHull(pose.xy[pose.confidence > 0])
        cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), 1)
        margin = 2 * round(0.1 * stature_px(pose)) + 1
        mask = np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin))), np.uint8)
    return mask.astype(bool)
