"""Find the people in a picture: MediaPipe's single-shot detector (of the kind of arXiv 1907.05047)."""

from dataclasses import dataclass
from math import ceil, dist, pi

import numpy as np

from realtime.pose.estimation.region import Point, Region, RegionNetwork, Rgba, aligned, sigmoid, whole
from realtime.pose.pose import Floats

_MIN_OVERLAP = 0.3
"""Boxes that overlap the best one by more than this (intersection over union) vote for its points."""
_STRIDES = (8, 16, 32, 32, 32)
"""Pixels of the crop per cell of each of its layers; every layer has two boxes per cell."""
_TILE = 0.6
"""Of the picture's height. The detector sees people from 0.3 of its crop on (measured), so from 0.18 of the height."""


@dataclass(frozen=True, slots=True)
class Person:
    """Where somebody was found; points are x, y in pixels."""

    hips: Point
    """The middle of the hips."""
    tip: Point
    """On the circle around the whole body, upward from the hips."""
    shoulders: Point
    """The middle of the shoulders."""

    @property
    def region(self) -> Region:
        """The square in which to look for the body."""
        return aligned(self.hips, self.tip, pi / 2, scale=1.25)

    @property
    def size_px(self) -> float:
        """Half of the height when standing."""
        return dist(self.hips, self.tip)

    def is_seen_overturned(self, other: "Person") -> bool:
        """Whether this is `other` once more, but upside down: what long hair makes of somebody seen from behind."""
        rises, other_rises = self.hips[1] - self.tip[1], other.hips[1] - other.tip[1]
        return rises < 0 < other_rises and dist(self.hips, other.hips) < 0.5 * other.size_px


class PersonDetector:
    """Finds people anywhere in a picture."""

    def __init__(self, threads: int) -> None:
        self._network = RegionNetwork("pose_detection", ("Identity", "Identity_1"), threads, signed=True)
        self._anchors = _anchors(self._network.side)
        self._looked = 0

    def find(self, rgba: Rgba) -> list[Person]:
        """Everybody in the whole picture (H W 4) who has a score of at least 0.5, the most certain first."""
        return self._look(rgba, whole(*rgba.shape[:2]))

    def find_far(self, rgba: Rgba) -> list[Person]:
        """As `find`, for people who are too small for it, but in one part of the picture: the next at each call."""
        parts = _tiles(*rgba.shape[:2])
        self._looked = (self._looked + 1) % len(parts)
        return self._look(rgba, parts[self._looked])

    def _look(self, rgba: Rgba, region: Region) -> list[Person]:
        boxes, logits = self._network(rgba, region)
        found = np.flatnonzero(logits[:, 0] >= 0)
        score = sigmoid(logits[found, 0])
        raw = boxes[found] / np.float32(self._network.side)
        raw[:, 0:2] += self._anchors[found]
        points = raw[:, 4:10].reshape(-1, 3, 2) + self._anchors[found, None]
        people = []
        while score.size:  # suppress what is not a maximum
            best = score.argmax()
            same = _overlaps(raw[:, :4], raw[best, :4]) > _MIN_OVERLAP
            same[best] = True
            weight = score * same
            people.append(Person(*region.to_frame(np.einsum("n,nkc->kc", weight / weight.sum(), points)).tolist()))
            raw, score, points = raw[~same], score[~same], points[~same]
        return [each for each in people if not any(map(each.is_seen_overturned, people))]


def _tiles(height: int, width: int) -> list[Region]:
    """Squares of `_TILE` of the height that cover the picture, each half over the next."""
    side = _TILE * height
    centers = [
        np.linspace(min(side, length) / 2, length - min(side, length) / 2, 1 + max(0, ceil(2 * (length - side) / side)))
        for length in (height, width)
    ]
    return [Region(x, y, side, 0.0) for y in centers[0].tolist() for x in centers[1].tolist()]


def _anchors(side: int) -> Floats:
    """The centres of all boxes, N 2, in crop sides; layers of the same stride share their cells."""
    centers = []
    for stride in sorted(set(_STRIDES)):
        cells = -(-side // stride)
        at = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        grid = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
        centers.append(grid.repeat(2 * _STRIDES.count(stride), axis=0))
    return np.concatenate(centers)


def _overlaps(boxes: Floats, best: Floats) -> Floats:
    """Intersection over union of N boxes (centre x, y, width, height) with one, N."""
    low = np.maximum(boxes[:, :2] - boxes[:, 2:] / 2, best[:2] - best[2:] / 2)
    high = np.minimum(boxes[:, :2] + boxes[:, 2:] / 2, best[:2] + best[2:] / 2)
    common = (high - low).clip(0).prod(1)
    overlaps: Floats = common / (boxes[:, 2:].prod(1) + best[2:].prod() - common).clip(1e-9)
    return overlaps
