"""Where the person is: the window of the picture that is rendered, from frame to frame."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from engines.engine import Box, Size
from realtime.frame import Rgb
from realtime.patches import PATCH
from realtime.pose.pose import Pose

GRID_PX = 16
"""Windows begin and end on multiples of this, the largest stride of the networks that have windows."""
LEAST_SIDE_PX = 256
"""Smaller pictures are rendered whole."""
SIXTEENTHS = ((11, 14), (10, 15), (13, 16), (14, 14))
"""Width and height of windows in sixteenths of the picture's, in the order of loading; see docs/log.md."""
POSE_MARGIN_PX = 48
"""Around the keypoints: hair, skirt, fast moves, and as much background as the network has to see; see docs/log.md."""
PAINT_MARGIN_PX = 16
"""Around what the picture before had of person and shadow."""
PAINT_LEVELS = 8
"""A pixel that differs from the background by more, of 255, is person or shadow."""
PATIENCE_FRAMES = 10
"""For so long a smaller window has to do before it is taken."""

Edges = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, the last two excluded."""


def window_sizes(picture: Rgb) -> list[Size]:
    """The sizes of windows in a picture H W 3, in positions of 4x4 pixels; none if it is small."""
    height, width, _ = picture.shape
    if min(height, width) < LEAST_SIDE_PX:
        return []
    return [(_sixteenths(height, tall), _sixteenths(width, wide)) for wide, tall in SIXTEENTHS]


def _sixteenths(side_px: int, count: int) -> int:
    return _up(-(-side_px * count // 16)) // PATCH


class WindowFollower:
    """Follows a person: the window holds the keypoints, and what the picture before had of person and shadow.

    So it needs no knowledge of where a subject's shadow falls or how wide the hair flies: a chain begins with the whole
    picture, and where person or shadow come near its edge the window grows. It grows at once and shrinks late, since
    each change of its size shows a little.

    Args:
        plate: uint8 [H, W, 3], the empty background.
    """

    def __init__(self, plate: Rgb) -> None:
        self._height, self._width, _ = plate.shape
        self._plate = plate[::PATCH, ::PATCH].copy()
        self.reset()

    def reset(self) -> None:
        """Begin with the whole picture again."""
        self._window: Edges = (0, 0, self._width, self._height)
        self._painted: Edges | None = self._window
        self._patient = 0

    def step(self, pose: Pose, sizes: Sequence[Size]) -> Box:
        """The next frame's window, in positions.

        Args:
            pose: in the picture's pixels.
            sizes: that can be chosen; the whole picture's is one of them.
        """
        needed = [_wider(edges, margin_px) for edges, margin_px in self._contents(pose)]
        if needed:
            self._fit(self._on_grid(_union(needed)), sizes)
        left, top, right, bottom = (edge // PATCH for edge in self._window)
        return slice(top, bottom), slice(left, right)

    def see(self, picture: Rgb) -> None:
        """Take the picture, uint8 [H, W, 3], that the last window was for."""
        away = cv2.absdiff(picture[::PATCH, ::PATCH], self._plate)
        painted = away.reshape(len(away), -1) > PAINT_LEVELS  # colours side by side: numpy is slow on short axes
        rows = np.flatnonzero(painted.any(axis=1)) * PATCH
        columns = np.flatnonzero(painted.any(axis=0)) // 3 * PATCH
        self._painted = None
        if len(rows):
            self._painted = int(columns[0]), int(rows[0]), int(columns[-1]) + PATCH, int(rows[-1]) + PATCH

    def _contents(self, pose: Pose) -> Iterator[tuple[Edges, int]]:
        """What has to be in the window, each with its margin in pixels."""
        seen = pose.xy[pose.confidence > 0]
        if len(seen):
            (left, top), (right, bottom) = seen.min(axis=0).tolist(), seen.max(axis=0).tolist()
            yield (int(left), int(top), int(right) + 1, int(bottom) + 1), POSE_MARGIN_PX
        if self._painted:
            yield self._painted, PAINT_MARGIN_PX

    def _on_grid(self, edges: Edges) -> Edges:
        """The least window with these edges that the networks can compute."""
        sides = zip(edges, (self._width, self._height) * 2, strict=True)
        left, top, right, bottom = (min(max(edge, 0), side) for edge, side in sides)
        return left // GRID_PX * GRID_PX, top // GRID_PX * GRID_PX, _up(right), _up(bottom)

    def _fit(self, needed: Edges, sizes: Sequence[Size]) -> None:
        """Move the window or change its size, if it has to be, or if it has been too large for long."""
        width, height = ((needed[axis + 2] - needed[axis]) // PATCH for axis in (0, 1))
        rows, columns = min(
            (size for size in sizes if size[0] >= height and size[1] >= width), key=lambda size: size[0] * size[1]
        )
        left, top, right, bottom = self._window
        smaller = rows * columns * PATCH**2 < (right - left) * (bottom - top)
        holds = _union([needed, self._window]) == self._window
        self._patient = self._patient + 1 if holds and smaller else 0
        if not holds or self._patient > PATIENCE_FRAMES:
            left, right = _placed(needed[0], needed[2], columns * PATCH, self._width)
            top, bottom = _placed(needed[1], needed[3], rows * PATCH, self._height)
            self._window, self._patient = (left, top, right, bottom), 0


def _placed(low: int, high: int, side: int, whole: int) -> tuple[int, int]:
    """Begin and end of a side around low..high, that in its middle if the picture's edges allow; all on the grid."""
    middle = (low + high - side) // 2 // GRID_PX * GRID_PX
    begin = min(max(middle, high - side, 0), low, whole - side)
    return begin, begin + side


def _union(boxes: Sequence[Edges]) -> Edges:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _wider(edges: Edges, margin_px: int) -> Edges:
    left, top, right, bottom = edges
    return left - margin_px, top - margin_px, right + margin_px, bottom + margin_px


def _up(edge: int) -> int:
    return -(-edge // GRID_PX) * GRID_PX
