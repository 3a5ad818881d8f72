"""Find the most certain person in a picture: MediaPipe's single-shot detector (of the kind of arXiv 1907.05047)."""

import numpy as np

from realtime.pose.network import RegionNetwork, Rgba, sigmoid
from realtime.pose.region import Floats, whole

_MIN_OVERLAP = 0.3
"""Boxes that overlap the best one by more than this (intersection over union) vote for its points."""
_STRIDES = (8, 16, 32, 32, 32)
"""Pixels of the crop per cell of each of its layers; every layer has two boxes per cell."""


class PersonDetector:
    """Finds a person anywhere in a picture."""

    def __init__(self, threads: int) -> None:
        self._network = RegionNetwork("pose_detection", ("Identity", "Identity_1"), threads, signed=True)
        self._anchors = _anchors(self._network.side)

    def find(self, rgba: Rgba) -> Floats | None:
        """Look at the whole picture, H W 4.

        Returns:
            The hips' centre and a point on the circle around the body, upward from there; 2 2, pixels. None where
            nobody has a score of at least 0.5.
        """
        region = whole(*rgba.shape[:2])
        boxes, logits = self._network(rgba, region)
        found = np.flatnonzero(logits[:, 0] >= 0)
        if not found.size:
            return None
        score = sigmoid(logits[found, 0])
        raw = boxes[found] / np.float32(self._network.side)
        raw[:, 0:2] += self._anchors[found]
        points = raw[:, 4:8].reshape(-1, 2, 2) + self._anchors[found, None]
        same = _overlaps(raw[:, :4], raw[score.argmax(), :4]) > _MIN_OVERLAP
        same[score.argmax()] = True
        weight = score * same
        return region.to_frame(np.einsum("n,nkc->kc", weight / weight.sum(), points))


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
