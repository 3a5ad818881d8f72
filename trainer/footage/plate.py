"""The empty room behind the person: a quantile over time of every pixel that the person does not cover.

Above the median, for shadows only darken: where the person's shadow lies most of the time, the median is the shadow.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose

SAMPLES = 160
"""Pictures that are kept, spread over the footage; enough for a quantile, small enough for memory."""
QUANTILE = 0.75
MOST_BYTES = 700e6
"""What the kept pictures may take."""


class PlateEstimator:
    """Collects pictures and where the person was in them.

    Args:
        total: how many pictures will come, 0 when unknown.
    """

    def __init__(self, total: int) -> None:
        self._total, self._count = total, 0
        self._pictures: list[Rgb] = []
        self._covered: list[NDArray[np.bool_]] = []

    def add(self, picture: Rgb, pose: Pose | None) -> None:
        """Offer the next picture, uint8 [H, W, 3], and the pose in its pixels."""
        most = min(2 * SAMPLES, max(32, int(MOST_BYTES / (4 * picture[..., 0].size))))
        if self._count % max(1, self._total // (most // 2)) == 0 and len(self._pictures) < most:
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
            pictures[covered] = np.inf
            plate[row] = _quantile(np.sort(pictures, axis=0), len(pictures) - covered.sum(axis=0)).round()
        return plate


def _quantile(ordered: Floats, counts: NDArray[np.intp]) -> Floats:
    """The quantile of the first `counts` (W) of sorted values, N W 3: numpy's for each pixel, 50 times as fast."""
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
