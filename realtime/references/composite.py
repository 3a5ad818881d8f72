"""The person from references: every part is moved into the pose, and all are laid over the plate, far ones first."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.patches import PATCH
from realtime.pose.pose import Floats
from realtime.references.atlas import Reference, Rgba
from realtime.references.bones import PART_BONES, PART_OF, REACH, Limbs, far_first
from realtime.references.choose import ChosenReference
from realtime.references.limb_frames import Box, Field, LimbFrames, Window, offsets
from realtime.references.transfer import transfer

FADES_FROM = 0.7
"""Of its reach, where a moved part begins to fade, to nothing at the reach."""
_ELSEWHERE = np.float32(1e-5)
"""Weight beyond the reach, so that offsets go on smoothly where nothing shows any more."""


class Compositor:
    """Lays moved parts over a part of the plate.

    At a window's edge offsets are not interpolated but go on: within two pixels of it the picture may differ from the
    same part of the whole by a fraction of a pixel's movement.

    Args:
        plate: uint8 H W 3, the empty background, whole.
        window: the part of the picture to make.
    """

    def __init__(self, plate: Rgb, window: Window) -> None:
        assert not any(side % PATCH for side in window), f"{window} is not made of whole positions"
        x, y, width, height = window
        self._plate = np.asarray(cv2.cvtColor(plate[y : y + height, x : x + width], cv2.COLOR_RGB2RGBA), np.uint8)
        self._canvas = np.empty_like(self._plate)
        self._warp = Warp(window)
        self._moved, self._old = np.empty((2, self._plate.size), np.uint8)

    def compose(self, frames: LimbFrames, choices: Mapping[str, ChosenReference]) -> Rgb:
        """A new picture of the window, uint8 [H, W, 3].

        Args:
            frames: of the same window, at a step of 4 pixels, with the limbs placed.
            choices: by part; one that is missing is left to the network.
        """
        np.copyto(self._canvas, self._plate)
        limbs = frames.limbs
        for part in far_first(limbs) if limbs else ():
            fields = [field for field in frames.fields if PART_OF[field.bone] == part]
            if limbs and fields and part in choices:
                self._lay(part, fields, limbs, choices[part])
        return np.asarray(cv2.cvtColor(self._canvas, cv2.COLOR_RGBA2RGB), np.uint8)

    def _lay(self, part: str, fields: list[Field], limbs: Limbs, choice: ChosenReference) -> None:
        box = around(fields)
        moved = self._move(part, box, fields, limbs, choice.reference, self._moved)
        if choice.old is not None:
            old = self._move(part, box, fields, limbs, choice.old, self._old)
            cv2.addWeighted(moved, choice.share, old, 1 - choice.share, 0, moved)
        below = self._canvas[_pixels(box)]
        clear = cv2.bitwise_not(cv2.extractChannel(moved, 3))
        cv2.multiply(below, cv2.merge([clear] * 4), below, 1 / 255)
        cv2.add(below, moved, below)

    def _move(
        self, part: str, box: Box, fields: list[Field], limbs: Limbs, reference: Reference, out: NDArray[np.uint8]
    ) -> Rgba:
        """A part of the person in a box, written to the beginning of `out`."""
        dx, dy = part_offsets(box, fields, transfer(limbs, reference.limbs, PART_BONES[part]))
        limit = cv2.resize(fade(box, fields), None, fx=PATCH, fy=PATCH, interpolation=cv2.INTER_LINEAR)
        moved = self._warp.warp(reference.picture, reference.corner, box, dx, dy, out)
        cv2.multiply(moved, cv2.merge([limit] * 4), moved, 1 / 255)
        return moved


class Warp:
    """Fetches pixels from where offsets say, for any box of a window; owns the maps' memory."""

    def __init__(self, window: Window) -> None:
        self._x = window.x + np.arange(window.width, dtype=np.float32)
        self._y = window.y + np.arange(window.height, dtype=np.float32)
        self._maps = np.empty((2, window.width * window.height), np.float32)

    def warp(
        self,
        picture: Rgba,
        corner: tuple[int, int],
        box: Box,
        dx: Floats,
        dy: Floats,
        out: NDArray[np.uint8],
        border: int = cv2.BORDER_CONSTANT,
    ) -> Rgba:
        """Move a picture.

        Args:
            picture: uint8 h w 4.
            corner: x and y of its first pixel.
            box: the positions to fill.
            dx: the box's offsets to the right in pixels, as many as it has positions.
            dy: the same, down.
            border: OpenCV's name for what is beyond the picture's edges; by default nothing, 0.
            out: uint8, flat; its beginning is the memory of what is returned.

        Returns:
            uint8 4h 4w 4.
        """
        rows, columns = _pixels(box)
        shape = rows.stop - rows.start, columns.stop - columns.start
        map_x, map_y = self._maps[:, : shape[0] * shape[1]].reshape(2, *shape)
        for offset, where in ((dx, map_x), (dy, map_y)):
            cv2.resize(offset, shape[::-1], where, interpolation=cv2.INTER_LINEAR)
        map_x += (self._x[columns] - np.float32(corner[0]))[None]
        map_y += (self._y[rows] - np.float32(corner[1]))[:, None]
        moved = out[: 4 * shape[0] * shape[1]].reshape(*shape, 4)
        cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, moved, border)
        return moved


class PastMover:
    """Moves the previous output along the limbs.

    Args:
        window: of the pictures.
    """

    def __init__(self, window: Window) -> None:
        self._warp = Warp(Window(0, 0, window.width, window.height))
        self._moved = np.empty(4 * window.width * window.height, np.uint8)

    def move(self, picture: Rgb, frames: LimbFrames, flow: Floats) -> Rgb:
        """A new picture, uint8 [H, W, 3]: where there are limbs, from where they were.

        Args:
            picture: uint8 [H, W, 3], of the window.
            frames: of the same window, at a step of 4 pixels, with the present limbs placed.
            flow: as `frames.flow` gives it for the previous limbs.
        """
        moved = picture.copy()
        if frames.fields:
            box = around(frames.fields)
            rgba = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA), np.uint8)
            dx, dy = (np.ascontiguousarray(flow[box][..., axis]) for axis in (0, 1))
            part = self._warp.warp(rgba, (0, 0), box, dx, dy, self._moved, cv2.BORDER_REPLICATE)
            moved[_pixels(box)] = cv2.cvtColor(part, cv2.COLOR_RGBA2RGB)  # thrice as fast as part[..., :3]
        return moved


def around(fields: list[Field]) -> Box:
    """The box around all fields."""
    rows, columns = (
        slice(min(field.box[axis].start for field in fields), max(field.box[axis].stop for field in fields))
        for axis in (0, 1)
    )
    return rows, columns


def part_offsets(box: Box, fields: list[Field], maps: Floats) -> tuple[Floats, Floats]:
    """The offsets x and y of a part's positions, each h w: every bone counts by the square of its membership.

    Args:
        box: around the fields.
        fields: of one part's bones.
        maps: of all bones of that part, as `transfer` gives them.
    """
    first = PART_BONES[PART_OF[fields[0].bone]][0]
    dx, dy, total = np.zeros((3, *_shape(box)), np.float32)
    for field in fields:
        at = _within(field.box, box)
        weight = field.member * field.member + _ELSEWHERE
        to_x, to_y = offsets(field, maps[field.bone - first])
        to_x *= weight
        to_y *= weight
        dx[at] += to_x
        dy[at] += to_y
        total[at] += weight
    np.maximum(total, _ELSEWHERE, out=total)
    dx /= total
    dy /= total
    return dx, dy


def fade(box: Box, fields: list[Field]) -> NDArray[np.uint8]:
    """How much of a moved part may show at each position, h w: 255 on the bones, 0 from their reach on."""
    shows = np.zeros(_shape(box), np.float32)
    for field in fields:
        part = shows[_within(field.box, box)]
        most = REACH[field.bone] ** 2
        np.maximum(part, (most - field.square) * (255 / (most * (1 - FADES_FROM**2))), out=part)
    return np.minimum(shows, 255).astype(np.uint8)


def _shape(box: Box) -> tuple[int, int]:
    rows, columns = box
    return rows.stop - rows.start, columns.stop - columns.start


def _within(inner: Box, outer: Box) -> Box:
    rows, columns = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
    return rows, columns


def _pixels(box: Box) -> Box:
    rows, columns = (slice(PATCH * side.start, PATCH * side.stop) for side in box)
    return rows, columns
