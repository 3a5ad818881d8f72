"""Find and follow a body: the pose part of MediaPipe Holistic (BlazePose, arXiv 2006.10204)."""

from dataclasses import dataclass
from math import hypot, pi

import numpy as np
from numpy.typing import NDArray

from engines.backends import Precision
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.person_detector import Person, PersonDetector
from realtime.pose.estimation.person_lock import PersonLock
from realtime.pose.estimation.region import Region, RegionNetwork, Rgba, aligned, sigmoid
from realtime.pose.pose import Floats
from realtime.pose.skeleton import BODY_NAMES

_MIN_PRESENCE = 0.5
_POINTS = 35
"""33 landmarks, then the two that place the next region: the hips' centre, and the end of the body's circle."""
_HEAD_DOWN = 2 * pi / 3
"""Rotation of a region from which on the body would be upside down."""
_LEGS = [BODY_NAMES.index(f"{side}_{joint}") for joint in ("knee", "ankle") for side in ("left", "right")]
_FRAME_S = 1 / 30
"""The time between frames that MediaPipe's steadying of the region was tuned for."""


@dataclass(frozen=True, slots=True)
class Body:
    """The 33 landmarks of a body, in the order of `skeleton.BODY_NAMES`."""

    xy: Floats
    """33 2, pixels."""
    depth: Floats
    """33, pixels, from the hips' centre, nearer is smaller."""
    visibility: Floats
    """33, 0..1: inside the picture and not hidden."""
    presence: Floats
    """33, 0..1: inside the picture."""
    deviation: Floats
    """33, pixels: the error to expect of either coordinate; not-a-number where nobody says."""


class BodyTracker:
    """Follows one body from frame to frame; looks for people while there is none, and now and then for others.

    Args:
        threads: cores that one run may use.
        config: how large a network, and whose body.
    """

    def __init__(self, threads: int, config: PoseConfig = PoseConfig()) -> None:
        self._detector = PersonDetector(threads)
        self._threads, self._effort = threads, config.pose_effort
        self._networks: dict[Precision, RegionNetwork] = {}
        self.use("f32" if config.pose_effort == "full" else "bf16")
        self._lock = PersonLock(config.person)
        self._region_filter = _RegionFilter()
        self._region: Region | None = None

    def use(self, precision: Precision) -> None:
        """Compute in another precision from the next picture on; loads its network at first. From any one thread."""
        if precision not in self._networks:
            name = "pose_landmark_lite" if self._effort == "lite" else "pose_landmark_full"
            outputs = ("Identity", "Identity_1", "Identity_3")
            self._networks[precision] = RegionNetwork(name, outputs, self._threads, precision=precision)
        self._network = self._networks[precision]

    def reset(self) -> None:
        """Forget the body, and whose it was."""
        self._lose()
        self._lock.reset()

    @property
    def track_id(self) -> int:
        """Grows whenever it goes over to somebody else's body."""
        return self._lock.track_id

    @property
    def alone(self) -> bool:
        """Whether nobody else has been seen for a while."""
        return self._lock.alone

    @property
    def rotation(self) -> float:
        """By how much the body is turned from upright, radians, when it was last seen."""
        return self._region.rotation if self._region is not None else 0.0

    def next_person(self) -> None:
        """Follow the next person to the right, after the last one the first; from any thread."""
        self._lock.next()

    def track(self, rgba: Rgba) -> Body | None:
        """The body in a picture (H W 4), None if there is none."""
        region = self._find(rgba)
        if region is None:
            return None
        network = self._network  # once: another thread may exchange it meanwhile
        landmarks, presence, heatmaps = network(rgba, region)
        if presence.item() <= _MIN_PRESENCE:
            self._lose()
            return None
        raw = landmarks.reshape(-1, 5)[:_POINTS]
        points = raw[:, :2] / np.float32(network.side)
        xy = region.to_frame(_refine(points, heatmaps[:, :, :_POINTS]))
        visibility, in_frame = sigmoid(raw[:33, 3:].T)
        if abs(region.rotation) > _HEAD_DOWN and not _on_hands(xy, visibility, region):
            self._lose()
            return None
        if not self._lock.agree(rgba, _middle(xy, "hip"), _middle(xy, "shoulder")):
            self._lose()
            return None
        center, tip = self._region_filter(xy[33:])
        self._region = aligned(center, tip, pi / 2, scale=1.25)
        depth = raw[:33, 2] * np.float32(region.size / network.side)
        return Body(xy[:33], depth, visibility, in_frame, np.full(33, np.nan, np.float32))

    def _lose(self) -> None:
        self._region = None
        self._region_filter.reset()

    def _find(self, rgba: Rgba) -> Region | None:
        """Where to look for the body: where it was, or where somebody is found."""
        person: Person | None
        if self._region is None:
            person = self._lock.take(rgba, self._detector.find(rgba) or self._detector.find_far(rgba))
        elif self._lock.due:
            person = self._lock.reconsider(rgba, self._detector.find(rgba), self._region)
        else:
            return self._region
        if person is not None:
            self._region_filter.reset()
            return person.region
        return self._region


def _on_hands(xy: Floats, visibility: Floats, region: Region) -> bool:
    """Whether the body is upside down indeed: then its legs are seen, and the hips well above the shoulders.

    The networks take long hair seen from behind for somebody whose head hangs down.
    """
    torso_px = _middle(xy, "shoulder")[1] - _middle(xy, "hip")[1]
    return torso_px > 0.1 * region.size and bool(visibility[_LEGS].mean() > 0.5)


def _middle(xy: Floats, joint: str) -> list[float]:
    """The point between the left and the right `joint` of the 33 landmarks."""
    left, right = (xy[BODY_NAMES.index(f"{side}_{joint}")] for side in ("left", "right"))
    middle: list[float] = ((left + right) / 2).tolist()
    return middle


_KERNEL = np.arange(-4, 5)
"""9 cells: what the library does, and 7 does not fit its results, though its graph's text says 7."""


def _refine(points: Floats, heatmaps: Floats) -> Floats:
    """Move points to the centre of mass of the heat around them (RefineLandmarksFromHeatmap).

    Args:
        points: N 2, 0..1 within the region.
        heatmaps: H W N, logits.

    Returns:
        N 2, the points whose heatmap is not sure (below 0.5) as they were.
    """
    height, width, count = heatmaps.shape
    cell = (points * (width, height)).astype(np.int64)  # toward zero, as the original does
    column, row = cell[:, :1] + _KERNEL, cell[:, 1:] + _KERNEL
    in_columns, in_rows = (column >= 0) & (column < width), (row >= 0) & (row < height)
    around = row.clip(0, height - 1)[:, :, None], column.clip(0, width - 1)[:, None, :]
    heat = sigmoid(heatmaps[*around, np.arange(count)[:, None, None]])
    heat *= in_rows[:, :, None] & in_columns[:, None, :]
    inside = (cell >= 0).all(1) & (cell[:, 0] < width)
    sure = inside & (heat.max((1, 2)) >= 0.5)
    total = heat.sum((1, 2)).clip(1e-9)
    x = (heat.sum(1) * column).sum(1) / (total * width)
    y = (heat.sum(2) * row).sum(1) / (total * height)
    return np.where(sure[:, None], np.stack([x, y], 1), points).astype(np.float32)


class _RegionFilter:
    """A One Euro filter (Casiez 2012) with MediaPipe's settings on the two points that place the next region.

    The region thereby stands still with the person, which calms the landmarks; they themselves stay unfiltered.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._last: Floats | None = None
        self._speed = np.zeros((2, 2))
        self._value = np.zeros((2, 2))

    def __call__(self, points: Floats) -> list[list[float]]:
        """Filter the centre and the tip, 2 2, pixels."""
        if self._last is None:
            self._value[:] = points
        else:
            (x0, y0), (x1, y1) = points.tolist()
            body_px = 2 * max(hypot(x1 - x0, y1 - y0), 1.0)
            speed = (points - self._last) / (body_px * _FRAME_S)  # bodies a second
            self._speed += _gain(1.0) * (speed - self._speed)
            self._value += _gain(0.01 + 10 * np.abs(self._speed)) * (points - self._value)
        self._last = points
        values: list[list[float]] = self._value.tolist()
        return values


def _gain(cutoff_hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The weight of the new value in a low-pass filter."""
    turn = 2 * pi * _FRAME_S * np.asarray(cutoff_hz, np.float64)
    gain: NDArray[np.float64] = turn / (turn + 1)
    return gain
