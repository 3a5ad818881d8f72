"""Where every position of a picture lies on the limbs, and from where limbs that moved brought it.

A position is a square of `step_px` pixels, its coordinate the middle: 4 for the networks, 1 for the pixels themselves.
H W are counted in positions. Along a bone runs 0..1 from its start to its end; across it, one is a half-width. The
distance from a bone is in half-widths, with round ends; a bone reaches `REACH` of them.

Channels, uint8, 128 is zero and 255 one:
  3 b .. 3 b + 2   of bone b: membership 0..1; along -1..1; across, half a half-width is .25; both times membership
  45, 46           sine and cosine of the shoulders' yaw, times the torso's membership
  47, 48           the same of the head
  49, 50           from the ground below the feet, x and y, in two statures
  51               how much nearer than the hips, in statures, of the nearest bone
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.parts.bones import BONE, B, Limbs
from realtime.pose.pose import Floats

REACH = 2.0
SOLID = 1.0
"""Within so many half-widths a bone hides what is behind it when the past is moved."""
CHANNELS = 3 * B + 7
ZERO = 128
_ONE = 127
_MOST_STRETCH = 2.5
"""Of a foreshortened bone's length to that in another pose: beyond, it is moved, not stretched."""

Bytes = NDArray[np.uint8]


class Window(NamedTuple):
    """A part of a picture in pixels; sides and corner are multiples of 4."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Field:
    """What is near one bone: a box of h w positions."""

    bone: int
    part: tuple[slice, slice]
    """Rows and columns of the box."""
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


def transfer(to: Limbs, source: Limbs) -> Floats:
    """B 2 3: maps of pixels near each bone in one pose to the same place of the body in another pose's picture."""
    axes, other = _axes(to), _axes(source)
    stretch = np.clip(other.length / axes.length, 1 / _MOST_STRETCH, _MOST_STRETCH)
    widen = source.half_px / to.half_px
    turn = np.einsum("b,bi,bj->bij", stretch, other.along, axes.along)
    turn += np.einsum("b,bi,bj->bij", widen, other.across, axes.across)
    shift = other.middle - np.einsum("bij,bj->bi", turn, axes.middle)
    return np.concatenate([turn, shift[:, :, None]], axis=2).astype(np.float32)


class LimbFrames:
    """The limbs' coordinates in a window of the picture, at a step of so many pixels."""

    def __init__(self, window: Window, step_px: int = 4) -> None:
        self.shape = window.height // step_px, window.width // step_px
        h, w = self.shape
        offset = (step_px - 1) / 2
        self._step_px = step_px
        self._corner = window.x, window.y
        self._x = (window.x + step_px * np.arange(w) + offset).astype(np.float32)[None]
        self._y = (window.y + step_px * np.arange(h) + offset).astype(np.float32)[:, None]
        self._through, self._solid = np.empty((2, *self.shape), np.float32)
        self._limbs: Limbs | None = None
        self.fields: list[Field] = []
        """Of the bones in sight, nearest first."""

    def place(self, limbs: Limbs | None) -> None:
        """Take the limbs of the next pose; None for nobody."""
        self._limbs, self.fields = limbs, []
        if limbs is None:
            return
        axes = _axes(limbs)
        for b in np.argsort(limbs.depth_px, kind="stable").tolist():
            box = self._box(limbs, b)
            if limbs.sure[b] > 0 and box is not None:
                self.fields.append(_field(limbs, axes, b, box, self._x[:, box[1]], self._y[box[0]]))

    def write(self, out: Bytes) -> None:
        """Fill `out`, uint8 H W CHANNELS, which may be a view into a wider buffer."""
        assert out.shape == (*self.shape, CHANNELS), f"{out.shape}, want {(*self.shape, CHANNELS)}"
        out[...] = ZERO
        limbs = self._limbs
        if limbs is None:
            return
        for field in self.fields:
            first, (rows, columns) = 3 * field.bone, field.part
            scaled = _ONE * field.member
            values = np.empty((*scaled.shape, 3), np.float32)
            values[..., 0] = scaled
            np.multiply(np.clip(field.along - 0.5, -1, 1), scaled, out=values[..., 1])
            np.multiply(field.across, 0.5 * scaled, out=values[..., 2])
            out[rows, columns, first : first + 3] = _byte(values)
        self._write_turn(out, 3 * B, BONE["torso"], limbs.yaw)
        self._write_turn(out, 3 * B + 2, BONE["head"], limbs.head_yaw)
        self._write_ground(out, limbs)
        self._write_depth(out, limbs)

    def flow(self, source: Limbs, out: Floats) -> None:
        """Where the limbs of the placed pose are in another's picture, as offsets in pixels; 0 beside the limbs.

        Args:
            source: of the other pose.
            out: float32 H W 2, x and y.
        """
        out[...] = 0
        if self._limbs is None:
            return
        maps = transfer(self._limbs, source)
        self._through[...] = 1
        for field in self.fields:
            # Opaque up to SOLID, then fading to nothing at REACH: nearer limbs cover farther ones.
            covers = np.clip((REACH**2 - field.square) / (REACH**2 - SOLID**2), 0, 1)
            covers *= self._through[field.part]
            self._through[field.part] -= covers
            dx, dy = offsets(field, maps[field.bone])
            part = out[field.part]
            part[..., 0] += covers * dx
            part[..., 1] += covers * dy

    def _box(self, limbs: Limbs, b: int) -> tuple[slice, slice] | None:
        ends = np.stack([limbs.start_px[b], limbs.end_px[b]])
        reach_px = REACH * max(limbs.half_px[b], limbs.cap_px[b])
        low = np.floor((ends.min(0) - reach_px - self._corner) / self._step_px).astype(int)
        high = np.ceil((ends.max(0) + reach_px - self._corner) / self._step_px).astype(int)
        (h, w), (left, top), (right, bottom) = self.shape, low.tolist(), high.tolist()
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, w), min(bottom, h)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def _write_turn(self, out: Bytes, channel: int, bone: int, yaw: float) -> None:
        for field in self.fields:
            if field.bone == bone:
                rows, columns = field.part
                sides = np.array([np.sin(yaw), np.cos(yaw)], np.float32)
                out[rows, columns, channel : channel + 2] = _byte(_ONE * field.member[..., None] * sides)

    def _write_ground(self, out: Bytes, limbs: Limbs) -> None:
        scale = np.float32(_ONE / (2 * limbs.stature_px))
        out[..., 3 * B + 4] = _byte(np.clip((self._x - limbs.ground_px[0]) * scale, -_ONE, _ONE))
        out[..., 3 * B + 5] = _byte(np.clip((self._y - limbs.ground_px[1]) * scale, -_ONE, _ONE))

    def _write_depth(self, out: Bytes, limbs: Limbs) -> None:
        near = -_ONE * np.clip(limbs.depth_px / limbs.stature_px, -1, 1)
        for field in reversed(self.fields):
            rows, columns = field.part
            inside = field.square < SOLID**2
            out[rows, columns, 3 * B + 6][inside] = _byte(near[field.bone])


def offsets(field: Field, affine: Floats) -> tuple[Floats, Floats]:
    """x and y, each h w: from the positions of a field to where a 2 3 map takes them, in pixels."""
    (xx, xy, x0), (yx, yy, y0) = affine
    return (xx - 1) * field.x + x0 + xy * field.y, yx * field.x + y0 + (yy - 1) * field.y


class _Axes(NamedTuple):
    along: Floats
    """B 2, unit vectors from the start of each bone to its end."""
    across: Floats
    """B 2, a quarter turn from them."""
    length: Floats
    """B, pixels, at least 1."""
    middle: Floats
    """B 2."""


def _axes(limbs: Limbs) -> _Axes:
    way = limbs.end_px - limbs.start_px
    length = np.maximum(np.hypot(way[:, 0], way[:, 1]), 1)
    along = way / length[:, None]
    return _Axes(along, np.stack([-along[:, 1], along[:, 0]], axis=1), length, (limbs.start_px + limbs.end_px) / 2)


def _field(limbs: Limbs, axes: _Axes, b: int, box: tuple[slice, slice], x: Floats, y: Floats) -> Field:
    """The field of bone `b` in a box with positions x, 1 w, and y, h 1."""
    (ax, ay), half, length = axes.along[b], limbs.half_px[b], axes.length[b]
    right, down = x - limbs.start_px[b, 0], y - limbs.start_px[b, 1]
    along = right * ax + down * ay
    across = down * (ax / half) - right * (ay / half)
    beyond = (along - np.clip(along, 0, length)) / limbs.cap_px[b]
    square = beyond * beyond + across * across
    member = np.maximum(1 - square / REACH**2, 0)
    member *= member * limbs.sure[b]
    along /= length
    return Field(b, box, x, y, along, across, square, member)


def _byte(values: Floats) -> Bytes:
    """-127..127 to 1..255, 0 to ZERO."""
    return np.asarray(values + np.float32(ZERO + 0.5), np.uint8)
