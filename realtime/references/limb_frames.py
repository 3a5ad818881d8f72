"""Where every position of a picture lies on the limbs, and from where limbs that moved brought it.

A position is a square of `step_px` pixels, its coordinate the middle: 4 for the networks, 1 for the pixels themselves.
H W are counted in positions. Along a bone runs 0..1 from its start to its end; across it, one is a half-width. The
distance from a bone is in half-widths, too, and its membership falls from 1 to 0 at its `REACH`.

Channels, uint8, 128 is zero and 255 one:
  3 b .. 3 b + 2   of bone b: membership 0..1; along, -1..1; across, 1 is two half-widths; both times membership
  45, 46           sine and cosine of the shoulders' yaw, times the torso's membership
  47, 48           the same of the ears' and the head
  49, 50           from the ground below the feet, x and y, 1 is two statures
  51               how much nearer than the hips the nearest bone is, 1 is a stature
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.engine import Box
from realtime.pose.pose import Floats
from realtime.references.bones import BONE, REACH, B, Limbs
from realtime.references.transfer import transfer

CHANNELS = 3 * B + 7
ZERO = 128
_ONE = 127
_YAW, _HEAD_YAW, _GROUND, _DEPTH = 3 * B, 3 * B + 2, 3 * B + 4, 3 * B + 6
_ANGULAR = BONE["torso"], BONE["pelvis"]
"""Shoulders and hems are not round."""

Bytes = NDArray[np.uint8]


class Window(NamedTuple):
    """A part of a picture in pixels; all are multiples of 4."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Field:
    """What is near one bone: a box of h w positions."""

    bone: int
    box: Box
    x: Floats
    """1 w, of the positions, pixels of the picture."""
    y: Floats
    """h 1."""
    along: Floats
    """h w, 0..1 on the bone."""
    across: Floats
    """h w, half-widths."""
    square: Floats
    """h w, the square of the distance in half-widths."""
    member: Floats
    """h w, 0..1."""


class LimbFrames:
    """The limbs' coordinates in a window of the picture.

    Args:
        window: which part of it.
        step_px: side of a position.
    """

    def __init__(self, window: Window, step_px: int = 4) -> None:
        self.shape = window.height // step_px, window.width // step_px
        offset = (step_px - 1) / 2
        self._step_px = step_px
        self._corner = np.array([window.x, window.y], np.float32)
        self._x = (window.x + step_px * np.arange(self.shape[1]) + offset).astype(np.float32)[None]
        self._y = (window.y + step_px * np.arange(self.shape[0]) + offset).astype(np.float32)[:, None]
        self._through = np.empty(self.shape, np.float32)
        self._nearest = np.empty(self.shape, np.uint8)
        self.limbs: Limbs | None = None
        """Those placed; None for nobody."""
        self.fields: list[Field] = []
        """Of the bones in sight, nearest first."""

    def place(self, limbs: Limbs | None) -> None:
        """Take the limbs of the next pose; None for nobody."""
        self.limbs, self.fields = limbs, []
        if limbs is None:
            return
        boxes = self._boxes(limbs)
        for b in np.argsort(limbs.depth_px, kind="stable").tolist():
            left, top, right, bottom = boxes[b]
            if limbs.sure[b] > 0 and left < right and top < bottom:
                box = slice(top, bottom), slice(left, right)
                self.fields.append(_field(limbs, b, box, self._x[:, box[1]], self._y[box[0]]))

    def write(self, out: Bytes) -> None:
        """Fill `out`, uint8 H W CHANNELS, which may be a view into a wider buffer."""
        assert out.shape == (*self.shape, CHANNELS), f"{out.shape}, want {(*self.shape, CHANNELS)}"
        out[...] = ZERO
        limbs = self.limbs
        if limbs is None:
            return
        for field in self.fields:
            out[(*field.box, slice(3 * field.bone, 3 * field.bone + 3))] = coordinates(field)
            if field.bone == BONE["torso"]:
                out[(*field.box, slice(_YAW, _YAW + 2))] = _turn(field, limbs.yaw)
            elif field.bone == BONE["head"]:
                out[(*field.box, slice(_HEAD_YAW, _HEAD_YAW + 2))] = _turn(field, limbs.head_yaw)
        scale = np.float32(_ONE / (2 * limbs.stature_px))
        for axis, places in enumerate((self._x, self._y)):
            out[..., _GROUND + axis] = _byte(np.clip((places - limbs.ground_px[axis]) * scale, -_ONE, _ONE))
        out[..., _DEPTH] = self._depth(limbs)

    def flow(self, source: Limbs | None, out: Floats) -> Floats:
        """Where the limbs of the placed pose are in another's picture, as offsets in pixels; 0 beside the limbs.

        Args:
            source: of the other pose; None for nobody, as the placed pose then has to be.
            out: float32 H W 2, x and y.

        Returns:
            New, H W in 0..1: how much of each position the limbs of the placed pose cover.
        """
        assert out.shape == (*self.shape, 2), f"{out.shape}, want {(*self.shape, 2)}"
        out[...] = 0
        self._through[...] = 1
        if self.limbs is None or source is None:
            return 1 - self._through
        maps = transfer(self.limbs, source, np.arange(B))
        for field in self.fields:
            through, part = self._through[field.box], out[field.box]
            # Opaque up to one half-width, then fading to nothing at the reach: nearer limbs cover farther ones.
            most = REACH[field.bone] ** 2
            covers = np.minimum(np.maximum((most - field.square) * (1 / (most - 1)), 0), 1)
            covers *= through
            through -= covers
            dx, dy = offsets(field, maps[field.bone])
            part[..., 0] += covers * dx
            part[..., 1] += covers * dy
        return 1 - self._through

    def _boxes(self, limbs: Limbs) -> list[list[int]]:
        """Left, top, right, bottom of each bone's reach in positions, with one to spare, inside of the window."""
        reach_px = (REACH * np.maximum(limbs.half_px, limbs.cap_px))[:, None]
        low = (np.minimum(limbs.start_px, limbs.end_px) - reach_px - self._corner) / self._step_px
        high = (np.maximum(limbs.start_px, limbs.end_px) + reach_px - self._corner) / self._step_px
        boxes = np.concatenate([np.floor(low) - 1, np.ceil(high) + 1], axis=1).astype(np.int64)
        h, w = self.shape
        inside: list[list[int]] = np.minimum(np.maximum(boxes, 0), [w, h, w, h]).tolist()
        return inside

    def _depth(self, limbs: Limbs) -> Bytes:
        self._nearest[...] = ZERO
        near = _byte(_ONE * np.clip(-limbs.depth_px / np.float32(limbs.stature_px), -1, 1))
        for field in reversed(self.fields):
            np.copyto(self._nearest[field.box], near[field.bone], where=field.square < 1)
        return self._nearest


def coordinates(field: Field) -> Bytes:
    """The three channels of a bone in its box, h w 3."""
    scaled = field.member * np.float32(_ONE)
    values = np.empty((*scaled.shape, 3), np.float32)
    values[..., 0] = scaled
    np.multiply(np.minimum(np.maximum(2 * field.along - 1, -1), 1), scaled, out=values[..., 1])
    np.multiply(field.across * np.float32(0.5), scaled, out=values[..., 2])
    return _byte(values)


def offsets(field: Field, affine: Floats) -> tuple[Floats, Floats]:
    """x and y, each h w: from the positions of a field to where a 2 3 map takes them, in pixels."""
    (xx, xy, x0), (yx, yy, y0) = affine
    one = np.float32(1)
    return ((xx - one) * field.x + x0) + xy * field.y, yx * field.x + ((yy - one) * field.y + y0)


def _field(limbs: Limbs, b: int, box: Box, x: Floats, y: Floats) -> Field:
    """The field of bone `b` in a box with positions x, 1 w, and y, h 1."""
    (ax, ay), half, length = limbs.along[b], limbs.half_px[b], limbs.length_px[b]
    right, down = x - limbs.start_px[b, 0], y - limbs.start_px[b, 1]
    along = right * ax + down * ay
    across = down * (ax / half) - right * (ay / half)
    beyond = along - np.minimum(np.maximum(along, 0), length)
    beyond /= limbs.cap_px[b]
    beyond *= beyond
    square = across * across
    if b in _ANGULAR:
        np.maximum(square, beyond, out=square)
    else:
        square += beyond
    member = np.maximum(1 - square * (1 / REACH[b] ** 2), 0)
    member *= member * limbs.sure[b]
    along /= length
    return Field(b, box, x, y, along, across, square, member)


def _turn(field: Field, yaw: float) -> Bytes:
    """h w 2."""
    return _byte(field.member[..., None] * (_ONE * np.array([np.sin(yaw), np.cos(yaw)], np.float32)))


def _byte(values: Floats) -> Bytes:
    """-127..127 to 1..255, 0 to ZERO."""
    return (values + np.float32(ZERO + 0.5)).astype(np.uint8)
