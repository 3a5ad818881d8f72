"""Rotated squares of a picture, and the networks that look at them.

The geometry of MediaPipe's RectTransformation, AlignmentPointsRects, DetectionsToRects and RoiTracking calculators,
in pixels. A point (u, v) of a region runs from (0, 0) at its upper left to (1, 1) at its lower right corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, cos, floor, hypot, pi, sin
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backends import Precision
from engines.load import load_engine
from realtime.pose.pose import Floats

_FOLDER = Path(__file__).parent / "networks"

Point = Sequence[float]
"""x, y in pixels."""
Rgba = NDArray[np.uint8]
"""H W 4; the fourth channel is not used: OpenCV crops four channels in less than half the time of three."""


@dataclass(frozen=True, slots=True)
class Region:
    """A square of a picture, turned about its centre."""

    x: float
    """Centre, pixels."""
    y: float
    size: float
    """Side, pixels."""
    rotation: float
    """Radians, clockwise in the picture, -pi to pi."""

    def crop_matrix(self, side: int) -> NDArray[np.float64]:
        """The 2 3 matrix that takes the pixels of a `side` x `side` crop to the picture's pixels."""
        step = self.size / side
        a, b = step * cos(self.rotation), step * sin(self.rotation)
        half = 0.5 * side
        return np.array([[a, -b, self.x - half * (a - b)], [b, a, self.y - half * (a + b)]])

    def to_frame(self, points: Floats) -> Floats:
        """Map N 2 points of the region to pixels of the picture."""
        a, b = self.size * cos(self.rotation), self.size * sin(self.rotation)
        turned = (points - np.float32(0.5)) @ np.array([[a, b], [-b, a]], np.float32)
        turned += np.array([self.x, self.y], np.float32)
        return turned

    def from_frame(self, points: Floats) -> Floats:
        """Map N 2 pixels of the picture to points of the region: the inverse of `to_frame`."""
        a, b = cos(self.rotation) / self.size, sin(self.rotation) / self.size
        turned = (points - np.array([self.x, self.y], np.float32)) @ np.array([[a, -b], [b, a]], np.float32)
        turned += np.float32(0.5)
        return turned


def whole(height: int, width: int) -> Region:
    """The smallest upright square around the whole picture: a crop of it is the letterboxed picture."""
    return Region(width / 2, height / 2, max(width, height), 0.0)


def turn(start: Point, end: Point, upright: float) -> float:
    """The rotation, radians, of a region in which the way from `start` to `end` points `upright` (0 right, pi/2 up)."""
    angle = upright - atan2(start[1] - end[1], end[0] - start[0])
    return angle - 2 * pi * floor((angle + pi) / (2 * pi))


def square(
    center: Point, width: float, height: float, rotation: float, *, scale: float = 1.0, raised: float = 0.0
) -> Region:
    """Grow a turned box to a square of `scale` times its longer side, raised by `raised` times its height."""
    shift = -raised * height
    return Region(
        center[0] - shift * sin(rotation),
        center[1] + shift * cos(rotation),
        # A region of no size has no way back to the picture.
        max(scale * max(width, height), 1.0),
        rotation,
    )


def aligned(center: Point, tip: Point, upright: float, *, scale: float = 1.0, raised: float = 0.0) -> Region:
    """The region around `center` with `tip` in the middle of one side (for scale 1), in the direction `upright`."""
    side = 2 * hypot(tip[0] - center[0], tip[1] - center[1])
    return square(center, side, side, turn(center, tip, upright), scale=scale, raised=raised)


def around(points: Floats, rotation: float, *, scale: float, raised: float = 0.0) -> Region:
    """The region around the upright bounding box of N 2 points, then turned."""
    left, top = points.min(0).tolist()
    right, bottom = points.max(0).tolist()
    center = ((left + right) / 2, (top + bottom) / 2)
    return square(center, right - left, bottom - top, rotation, scale=scale, raised=raised)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leash:
    """How far a tracked region may be from the one proposed anew before the new one is taken."""

    rotation: float
    """Radians."""
    shift: float
    """Of the centre along either axis of the proposal, in sizes of the proposal."""
    growth: float
    """Change of size, in sizes of the proposal."""
    margin: float
    """The last landmarks must lie in the proposal grown by this part of its size (negative: shrunk)."""

    def holds(self, tracked: Region, landmarks: Floats, proposed: Region) -> bool:
        """Whether `tracked`, that was made from N 2 `landmarks` of the picture before, is still good."""
        difference = abs(tracked.rotation - proposed.rotation)
        center = proposed.from_frame(np.array([[tracked.x, tracked.y]], np.float32))
        return bool(
            min(difference, 2 * pi - difference) <= self.rotation
            and abs(tracked.size - proposed.size) <= self.growth * proposed.size
            and np.abs(center - 0.5).max() <= self.shift
            and np.abs(proposed.from_frame(landmarks) - 0.5).max() < 0.5 * (1 + self.margin)
        )


class RegionNetwork:
    """A network that sees an S S 3 crop of the picture, in fixed buffers.

    Args:
        name: of the file in `networks/`, without its ending.
        outputs: names of the wanted ones, in the order they shall be returned.
        threads: cores that one run may use.
        precision: "f32", or "bf16", which takes 0.6 of the time on a processor that has it, and f32's on another.
        signed: pixels go in as -1..1 with black outside of the picture (as the detectors want it), else as 0..1 with
            the picture's edge continued (as the landmark networks want it).
    """

    def __init__(
        self, name: str, outputs: tuple[str, ...], threads: int, *, precision: Precision = "f32", signed: bool = False
    ) -> None:
        graph = _FOLDER / f"{name}.tflite"
        self._engine = load_engine(graph, precision=precision, threads=threads, outputs=outputs, keep=True)
        (tensor,) = self._engine.inputs.values()
        self._input: Floats = tensor[0]
        self._outputs: list[Floats] = [self._engine.outputs[output][0] for output in outputs]
        self._crop = np.zeros((*self._input.shape[:2], 4), np.uint8)
        self._rgb = np.zeros(self._input.shape, np.uint8)
        self._signed = signed

    @property
    def side(self) -> int:
        """S: pixels along a side of the crop."""
        return len(self._crop)

    def __call__(self, rgba: Rgba, region: Region) -> list[Floats]:
        """Run on a region of a picture (H W 4); the outputs (without batch axis) are valid until the next call."""
        cv2.warpAffine(
            rgba,
            region.crop_matrix(self.side),
            (self.side, self.side),
            dst=self._crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT if self._signed else cv2.BORDER_REPLICATE,
        )
        cv2.cvtColor(self._crop, cv2.COLOR_RGBA2RGB, dst=self._rgb)
        np.multiply(self._rgb, (2 if self._signed else 1) / 255, out=self._input, dtype=np.float32)
        if self._signed:
            self._input -= 1
        self._engine.run()
        return self._outputs


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), in a form that cannot overflow."""
    halves: Floats = np.tanh(logits * np.float32(0.5))
    return halves * np.float32(0.5) + np.float32(0.5)
