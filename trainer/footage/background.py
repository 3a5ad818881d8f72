"""The background without the person: whether it stands still in the picture, and its plate."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose

STILL = 0.0015
"""Shift of the background, in picture heights, up to which the camera counts as still: 0.8 of 512 pixels. A tripod
gives 20 times less, a steady hand (half a pixel of tremble) twice as much (docs/log.md)."""
CELLS, CELL_CORNERS = 8, 5
"""Cells of the picture, so many from top to bottom, and the most corners that are looked at in each."""
OFTEN = 0.75
"""Share of the pictures in which a cell has to be seen to be judged: where the person mostly is, there are shadows."""
LOOSE, MOSTLY, RARELY, MOST_OF_IT = 0.008, 0.7, 0.3, 0.6
"""A cell is steady if its corners stay within so many heights for so much of the time, and one that does for less than
the next changes by itself: between the two there are shadows that come and go. A camera that stands still, or nearly
so, has so many steady cells at least."""
LEAST_CORNERS, MOST_CORNERS = 8, 200
"""With fewer corners than this nothing can be said about the camera, and a plate fits wherever it points."""
PLATE_SAMPLES = 160
"""Pictures that are kept, spread over the footage: enough for a quantile, few enough for memory."""
MASK_PX = 128
"""Height at which it is measured where the person always is."""
MOST_MARGIN = 0.25
"""Of the picture's longer side, around the person: of somebody larger than the picture, all of it is covered."""
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
        margin = 2 * round(min(0.1 * stature_px(pose), MOST_MARGIN * max(shape))) + 1
        mask = np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin))), np.uint8)
    return mask.astype(bool)


def never_seen(poses: Sequence[Pose | None], shape: tuple[int, int]) -> float:
    """How much of what a person covers in pictures of `shape` is covered in all of them: no plate is known there.

    Args:
        poses: in the pictures' pixels, None where nobody is in the picture.
        shape: height and width.

    Returns:
        That area by the mean area that the person covers, 0..1.
    """
    k = np.float32(MASK_PX / shape[0])
    small = MASK_PX, max(1, round(float(k) * shape[1]))
    picked = [poses[int(place)] for place in np.linspace(0, len(poses) - 1, min(len(poses), PLATE_SAMPLES))]
    shrunk = [pose and Pose(k * pose.xy, k * pose.depth, pose.confidence) for pose in picked]
    masks = np.stack([person_mask(pose, small) for pose in shrunk])
    return float(masks.all(axis=0).sum() / max(1.0, float(masks.sum(axis=(1, 2)).mean())))


class BackgroundMotion(NamedTuple):
    """How the background moves in the picture."""

    shift: float
    """Of what stands still with the room, in picture heights: the 90 % quantile over the pictures. 0 where there is too
    little to track; 1 where most corners are not found again."""
    overlay: float
    """Share of the background that changes by itself before a camera that stands still: captions, clocks, screens."""


NO_MOTION = BackgroundMotion(0.0, 0.0)


def background_motion(pictures: Sequence[Rgb], poses: Sequence[Pose | None]) -> BackgroundMotion:
    """How far the background moves in the picture, and how much of it changes by itself.

    Corners of the plate are tracked into every picture (Lucas-Kanade), those behind the person left out. A camera that
    moves moves them everywhere; what moves in few cells of the picture only is laid over it, and does not count.

    Args:
        pictures: samples of the footage, uint8 [H, W, 3]; small ones do.
        poses: of the person in them, in their pixels.
    """
    estimator = PlateEstimator(len(pictures))
    for picture, pose in zip(pictures, poses, strict=True):
        estimator.add(picture, pose)
    plate = np.asarray(cv2.cvtColor(estimator.estimate(), cv2.COLOR_RGB2GRAY), np.uint8)
    side_px = len(plate) / CELLS
    spread = _strongest_of_cells(_corners(plate, quality=0.005, apart_px=4), side_px)
    if len(spread) < LEAST_CORNERS:
        return NO_MOTION
    samples = [*zip(pictures, poses, strict=True)]
    moved = np.stack([_moved(plate, spread, *sample) for sample in samples])
    cells = (spread // side_px).astype(int)
    every = np.unique(cells, axis=0)
    still = np.array([_still(moved[:, (cells == cell).all(axis=1)], LOOSE * len(plate)) for cell in every])
    steady = still >= MOSTLY
    counted, overlay = np.full(plate.shape, 255, np.uint8), 0.0
    if steady.mean() >= MOST_OF_IT:
        overlay = float((still < RARELY).mean())
        for x, y in every[~steady] * side_px:
            counted[int(y) : int(y + side_px) + 1, int(x) : int(x + side_px) + 1] = 0
    corners = _corners(plate, quality=0.02, apart_px=6, where=counted)[:MOST_CORNERS]
    if len(corners) < LEAST_CORNERS:
        return BackgroundMotion(0.0, overlay)
    moved = np.stack([_moved(plate, corners, *sample) for sample in samples])
    return BackgroundMotion(min(1.0, _shift_px(moved) / len(plate)), overlay)


def _corners(
    plate: NDArray[np.uint8], *, quality: float, apart_px: float, where: NDArray[np.uint8] | None = None
) -> Floats:
    """Corners, N 2 as x and y, the strongest first."""
    found = cv2.goodFeaturesToTrack(plate, 5000, quality, apart_px, mask=where)
    return np.zeros((0, 2), np.float32) if found is None else np.asarray(found[:, 0], np.float32)


def _strongest_of_cells(corners: Floats, side_px: float) -> Floats:
    """At most `CELL_CORNERS` of every cell: captions have the strongest corners of all."""
    counts = Counter[tuple[int, int]]()
    kept = []
    for x, y in corners.tolist():
        cell = int(x // side_px), int(y // side_px)
        counts[cell] += 1
        kept.append(counts[cell] <= CELL_CORNERS)
    return np.asarray(corners[np.array(kept, bool)], np.float32)


def _moved(plate: NDArray[np.uint8], corners: Floats, picture: Rgb, pose: Pose | None) -> Floats:
    """How each corner is moved in a picture, N 2 in pixels; infinite where it is lost, NaN behind the person."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    at = corners[:, None]
    new, state, _ = cv2.calcOpticalFlowPyrLK(plate, grey, at, at.copy(), winSize=(15, 15))
    x, y = corners.astype(int).T
    lost, covered = state != 1, person_mask(pose, plate.shape)[y, x, None]
    return np.asarray(np.where(covered, np.nan, np.where(lost, np.inf, (new - at)[:, 0])), np.float32)


def _still(moved: Floats, most_px: float) -> float:
    """How often a cell's corners, F N 2, are seen to stay where they are, 0..1; 1 if they are seldom seen at all."""
    lengths_px = np.hypot(*np.moveaxis(moved, 2, 0))
    seen = ~np.isnan(lengths_px)
    return 1.0 if seen.mean() < OFTEN else float((lengths_px[seen] <= most_px).mean())


def _shift_px(moved: Floats) -> float:
    """`BackgroundMotion.shift` in pixels, infinite where most are lost; of corners, F N 2."""
    shifts_px, found = [], []
    for corners in moved:
        seen = corners[~np.isnan(corners[:, 0])]
        if len(seen) < LEAST_CORNERS:
            continue
        tracked = np.isfinite(seen[:, 0])
        found.append(float(tracked.mean()))
        if tracked.any():
            shifts_px.append(float(np.hypot(*np.median(seen[tracked], axis=0))))
    if not shifts_px or np.mean(found) < 0.5:
        return np.inf if found else 0.0
    return float(np.quantile(shifts_px, 0.9))
