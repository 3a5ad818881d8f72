"""The person from references: every part is moved into the pose, and all are laid over the plate, far ones first."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.parts.atlas import Reference, Rgba
from realtime.parts.bones import PART_BONES, PARTS, Limbs
from realtime.parts.choose import Choice
from realtime.parts.limb_frames import REACH, Field, LimbFrames, Window, offsets, transfer
from realtime.pose.pose import Floats

STEP_PX = 4
FADES_FROM = 1.6
"""Half-widths from a bone at which a moved part begins to fade, to nothing at REACH."""


def far_first(limbs: Limbs) -> list[str]:
    """The parts in the order in which they are laid over each other."""
    depth = [limbs.depth_px[bones].mean() for bones in PART_BONES]
    depth[_NUMBER["head"]] = depth[_NUMBER["torso"]] - 1  # a head hangs over its own chest, never behind it
    names = tuple(PARTS)
    return [names[g] for g in np.argsort(-np.array(depth), kind="stable")]


class Compositor:
    """Lays moved parts over a part of the plate.

    Args:
        plate: uint8 H W 3, the empty room, whole.
        window: the part of the picture to make.
    """

    def __init__(self, plate: Rgb, window: Window) -> None:
        x, y, width, height = window
        assert not any(side % STEP_PX for side in window), f"{window} is not made of whole positions"
        self._plate = np.asarray(cv2.cvtColor(plate[y : y + height, x : x + width], cv2.COLOR_RGB2RGBA), np.uint8)
        self._canvas = np.empty_like(self._plate)
        self._warp = _Warp(window)
        self._over, self._old = _Buffer(height * width * 4), _Buffer(height * width * 4)

    def compose(self, frames: LimbFrames, limbs: Limbs, choices: Mapping[str, Choice]) -> Rgb:
        """A new picture of the window.

        Args:
            frames: of the window, at a step of 4 pixels, with the limbs placed.
            limbs: of the pose.
            choices: by part.
        """
        self._canvas[...] = self._plate
        for part in far_first(limbs):
            fields = [field for field in frames.fields if field.bone in PART_BONES[_NUMBER[part]]]
            if fields:
                self._lay(part_of(fields), fields, limbs, choices[part])
        return np.asarray(cv2.cvtColor(self._canvas, cv2.COLOR_RGBA2RGB), np.uint8)

    def _lay(self, box: tuple[slice, slice], fields: list[Field], limbs: Limbs, choice: Choice) -> None:
        moved = self._warp.part(box, fields, limbs, choice.reference, self._over)
        if choice.old is not None:
            old = self._warp.part(box, fields, limbs, choice.old, self._old)
            cv2.addWeighted(moved, choice.share, old, 1 - choice.share, 0, moved)
        rows, columns = box
        below = self._canvas[_pixels(rows), _pixels(columns)]
        clear = cv2.bitwise_not(cv2.extractChannel(moved, 3))
        cv2.multiply(below, cv2.merge([clear] * 4), below, 1 / 255)
        cv2.add(below, moved, below)


_NUMBER = {part: g for g, part in enumerate(PARTS)}


class _Buffer:
    """Memory for one array of any shape."""

    def __init__(self, size: int, dtype: type[np.generic] = np.uint8) -> None:
        self._all = np.empty(size, dtype)

    def of(self, *shape: int) -> NDArray[np.generic]:
        return self._all[: int(np.prod(shape))].reshape(shape)


class _Warp:
    def __init__(self, window: Window) -> None:
        x, y = (
            start + np.arange(length, dtype=np.float32)
            for start, length in ((window.x, window.width), (window.y, window.height))
        )
        self._grid = np.stack(np.broadcast_arrays(x[None], y[:, None]), axis=2)
        self._map = _Buffer(self._grid.size, np.float32)

    def part(self, box: tuple[slice, slice], fields: list[Field], limbs: Limbs, reference: Reference, out: _Buffer) -> Rgba:
        rows, columns = box
        flow, alpha = blended(box, fields, transfer(limbs, reference.limbs))
        height, width = STEP_PX * flow.shape[0], STEP_PX * flow.shape[1]
        where = self._map.of(height, width, 2)
        cv2.resize(flow, (width, height), where, interpolation=cv2.INTER_LINEAR)
        where += self._grid[_pixels(rows), _pixels(columns)]
        where -= np.array(reference.corner, np.float32)
        moved = out.of(height, width, 4)
        cv2.remap(reference.picture, where, None, cv2.INTER_LINEAR, moved, cv2.BORDER_CONSTANT)
        limit = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.multiply(moved, cv2.merge([limit] * 4), moved, 1 / 255)
        return moved


def part_of(fields: list[Field]) -> tuple[slice, slice]:
    """The box around all fields."""
    rows, columns = ([field.part[axis] for field in fields] for axis in (0, 1))
    return (
        slice(min(r.start for r in rows), max(r.stop for r in rows)),
        slice(min(c.start for c in columns), max(c.stop for c in columns)),
    )


def blended(box: tuple[slice, slice], fields: list[Field], maps: Floats) -> tuple[Floats, NDArray[np.uint8]]:
    """The offsets of a part's positions, h w 2, each bone with its membership's share, and where it ends, h w."""
    rows, columns = box
    h, w = rows.stop - rows.start, columns.stop - columns.start
    flow, total, alpha = np.zeros((h, w, 2), np.float32), np.full((h, w), 1e-6, np.float32), np.zeros((h, w), np.float32)
    for field in fields:
        at = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(field.part, box, strict=True))
        dx, dy = offsets(field, maps[field.bone])
        part = flow[at]
        part[..., 0] += field.member * dx
        part[..., 1] += field.member * dy
        total[at] += field.member
        limit = np.clip((REACH**2 - field.square) * (255 / (REACH**2 - FADES_FROM**2)), 0, 255)
        np.maximum(alpha[at], limit, out=alpha[at])
    flow /= total[..., None]
    return flow, alpha.astype(np.uint8)


def _pixels(positions: slice) -> slice:
    return slice(STEP_PX * positions.start, STEP_PX * positions.stop)
