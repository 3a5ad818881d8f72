"""The person from references: every part is moved into the pose, and all are laid over the plate, far ones first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.engine import Box
from realtime.frame import Rgb
from realtime.patches import PATCH, pixels_of
from realtime.pose.pose import Floats
from realtime.references.atlas import Reference, Rgba
from realtime.references.bones import PART_BONES, PART_OF, REACH, far_first
from realtime.references.choose import ChosenReference
from realtime.references.limb_frames import Field, LimbFrames, Window, offsets
from realtime.references.transfer import transfers

FADES_FROM = 0.7
"""Of its reach, where a moved part begins to fade, to nothing at the reach."""
_ELSEWHERE = np.float32(1e-5)
"""Weight beyond the reach, so that offsets go on smoothly where nothing shows any more."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """One part of the person."""

    part: str
    fields: list[Field]
    """Of its bones in sight, at least one."""
    references: list[Reference]
    """The chosen one, and the old one while that shows as well."""
    share: float
    """Of the chosen one."""


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
        layers = _layers(frames, choices)
        if frames.limbs and layers:
            each = [(reference.limbs, PART_BONES[layer.part]) for layer in layers for reference in layer.references]
            maps = iter(transfers(frames.limbs, each))
            for layer in layers:
                self._lay(layer, [next(maps) for _ in layer.references])
        return np.asarray(cv2.cvtColor(self._canvas, cv2.COLOR_RGBA2RGB), np.uint8)

    def _lay(self, layer: _Layer, maps: Sequence[Floats]) -> None:
        box = around(layer.fields)
        memories = self._moved, self._old
        moved, *old = map(partial(self._move, box, layer.fields), layer.references, maps, memories)
        if old:
            cv2.addWeighted(moved, layer.share, old[0], 1 - layer.share, 0, moved)
        limit = cv2.resize(fade(box, layer.fields), None, fx=PATCH, fy=PATCH, interpolation=cv2.INTER_LINEAR)
        cv2.multiply(moved, cv2.merge([limit] * 4), moved, 1 / 255)
        below = self._canvas[pixels_of(box)]
        clear = cv2.bitwise_not(cv2.extractChannel(moved, 3))
        cv2.multiply(below, cv2.merge([clear] * 4), below, 1 / 255)
        cv2.add(below, moved, below)

    def _move(self, box: Box, fields: list[Field], reference: Reference, maps: Floats, out: NDArray[np.uint8]) -> Rgba:
        """A part of the person in a box, written to the beginning of `out`; it does not end at its bones' reach."""
        if len(fields) == 1:
            return self._warp.affine(reference.picture, reference.corner, box, bone_map(fields[0], maps), out)
        return self._warp.warp(reference.picture, reference.corner, box, *part_offsets(box, fields, maps), out)


def _layers(frames: LimbFrames, choices: Mapping[str, ChosenReference]) -> list[_Layer]:
    """The parts in sight that may be moved, far ones first."""
    layers = []
    for part in far_first(frames.limbs) if frames.limbs else ():
        fields = [field for field in frames.fields if PART_OF[field.bone] == part]
        if fields and part in choices:
            choice = choices[part]
            references = [choice.reference] if choice.old is None else [choice.reference, choice.old]
            layers.append(_Layer(part, fields, references, choice.share))
    return layers


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
        rows, columns = pixels_of(box)
        shape = rows.stop - rows.start, columns.stop - columns.start
        map_x, map_y = self._maps[:, : shape[0] * shape[1]].reshape(2, *shape)
        for offset, where in ((dx, map_x), (dy, map_y)):
            cv2.resize(offset, shape[::-1], where, interpolation=cv2.INTER_LINEAR)
        map_x += (self._x[columns] - np.float32(corner[0]))[None]
        map_y += (self._y[rows] - np.float32(corner[1]))[:, None]
        moved = out[: 4 * shape[0] * shape[1]].reshape(*shape, 4)
        cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, moved, border)
        return moved

    def affine(
        self, picture: Rgba, corner: tuple[int, int], box: Box, to_source: Floats, out: NDArray[np.uint8]
    ) -> Rgba:
        """Move a picture as `warp` does, by one map (2 3) of all pixels; beyond the picture's edges is nothing."""
        rows, columns = pixels_of(box)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        at = to_source.astype(np.float64)
        at[:, 2] += at[:, 0] * self._x[columns.start] + at[:, 1] * self._y[rows.start] - corner
        moved = out[: 4 * height * width].reshape(height, width, 4)
        cv2.warpAffine(picture, at, (width, height), moved, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        return moved


class PastMover:
    """Moves the previous output along the limbs.

    Args:
        shape: height and width of the pictures.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        height, width = shape
        self._warp = Warp(Window(0, 0, width, height))
        self._moved = np.empty(4 * width * height, np.uint8)

    def move(self, picture: Rgb, flow: Floats, box: Box | None) -> Rgb:
        """A new picture, uint8 [H, W, 3]: where there are limbs, from where they were.

        Args:
            picture: uint8 [H, W, 3], of the window.
            flow: as `LimbFrames.flow` gives it for the previous limbs, at a step of 4 pixels.
            box: the positions that the limbs reach; None if there are none.
        """
        moved = picture.copy()
        if box is not None:
            rgba = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA), np.uint8)
            dx, dy = (np.ascontiguousarray(flow[box][..., axis]) for axis in (0, 1))
            part = self._warp.warp(rgba, (0, 0), box, dx, dy, self._moved, cv2.BORDER_REPLICATE)
            moved[pixels_of(box)] = cv2.cvtColor(part, cv2.COLOR_RGBA2RGB)  # thrice as fast as part[..., :3]
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
    dx, dy, total = np.zeros((3, *_shape(box)), np.float32)
    for field in fields:
        at = _within(field.box, box)
        weight = field.member * field.member + _ELSEWHERE
        to_x, to_y = offsets(field, bone_map(field, maps))
        to_x *= weight
        to_y *= weight
        dx[at] += to_x
        dy[at] += to_y
        total[at] += weight
    np.maximum(total, _ELSEWHERE, out=total)
    dx /= total
    dy /= total
    return dx, dy


def bone_map(field: Field, maps: Floats) -> Floats:
    """2 3, the map of the field's bone among those of all bones of its part."""
    at: Floats = maps[field.bone - PART_BONES[PART_OF[field.bone]][0]]
    return at


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
