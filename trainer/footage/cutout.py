"""Cut the parts of a person out of a frame: who covers a pixel is told by the background, which part by the bones."""

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.pose import Floats
from realtime.references.atlas import Reference, encode
from realtime.references.bones import BONE, PART_OF, PARTS, REACH, Limbs, far_first, kind
from realtime.references.limb_frames import LimbFrames, Window

Mask = NDArray[np.bool_]

DARKEST = 0.4
"""What a shadow leaves of the background's light."""
NOISE, CERTAIN = 10, 24
"""Grey levels from the background, in any shade, at which a pixel begins to count as the person and surely does."""
CORE = 0.4
"""Half-widths from a bone (not the head's, which may end early) that are the person whatever the colour."""
CLAIM = {"hand": 1.5}
"""Half-widths up to which a part hides what is behind it; fingers spread, all others have 1."""
FILLED = {"torso": 0.9, "head": 0.9}
"""Half-widths up to which what nearer parts hide of a part is filled in; 0.6 for limbs, and only near what shows."""
LEAST = 1 / 255
_NAMES = tuple(PARTS)


def silhouette(frame: Rgb, plate: Rgb) -> Floats:
    """How surely each pixel is not the background, not even in shadow, H W, 0..1."""
    seen, behind = (cv2.GaussianBlur(picture, (3, 3), 0.7).astype(np.float32) for picture in (frame, plate))
    shade = np.clip((seen * behind).sum(2) / np.maximum((behind * behind).sum(2), 1), DARKEST, 1)
    away = np.abs(seen - shade[..., None] * behind).max(2)
    mask = np.clip((away - NOISE) / (CERTAIN - NOISE), 0, 1)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5))), np.float32)


def part_distances(frames: LimbFrames) -> Floats:
    """Half-widths from the nearest bone of each part, 8 H W; infinite beyond its reach."""
    away = np.full((len(PARTS), *frames.shape), np.inf, np.float32)
    for field in frames.fields:
        part = away[_NAMES.index(PART_OF[field.bone])][field.box]
        near = field.square < REACH[field.bone] ** 2
        np.minimum(part, np.sqrt(field.square), out=part, where=near)
    return away


def window_of(limbs: Limbs, size_px: tuple[int, int]) -> Window:
    """The part of a picture, width and height given, that the bones reach."""
    reach_px = (REACH * np.maximum(limbs.half_px, limbs.cap_px))[:, None]
    low = (np.minimum(limbs.start_px, limbs.end_px) - reach_px)[limbs.sure > 0].min(axis=0, initial=np.inf)
    high = (np.maximum(limbs.start_px, limbs.end_px) + reach_px)[limbs.sure > 0].max(axis=0, initial=-np.inf)
    left, top = (4 * int(max(value, 0) // 4) for value in low)
    right, bottom = (4 * int(-(-min(value, side) // 4)) for value, side in zip(high, size_px, strict=True))
    return Window(left, top, max(right - left, 0), max(bottom - top, 0))


class Cutter:
    """The person in one frame.

    Args:
        frame: uint8 H W 3.
        plate: the same without the person; None where the camera moves: then flesh ends where the bones' widths say.
        limbs: of the pose in the frame.
    """

    def __init__(self, frame: Rgb, plate: Rgb | None, limbs: Limbs) -> None:
        height, width = frame.shape[:2]
        self._window = window_of(limbs, (width, height))
        x, y, w, h = self._window
        part = slice(y, y + h), slice(x, x + w)
        frames = LimbFrames(self._window, 1)
        frames.place(limbs)
        self._limbs, self._away = limbs, part_distances(frames)
        self._frame = np.ascontiguousarray(frame[part])
        self._mask = self._person(None if plate is None else plate[part])
        self._owner, self._covered = self._owners()

    def reference(self, number: int, part: str, hidden: float) -> Reference | None:
        """A part of frame `number`, `hidden` 0..1 of it covered; None where nothing of it is to be seen."""
        alpha, picture = self._alpha(part), self._frame
        hole = self._hole(part, alpha)
        if hole.any():
            picture = _fill(picture, hole, alpha > 0.9)
            alpha = np.maximum(alpha, cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 1))
        rows, columns = (np.flatnonzero((alpha > LEAST).any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return None
        # Even corners: the codec halves the colours' resolution as the footage's did.
        top, left = rows[0] // 2 * 2, columns[0] // 2 * 2
        box = slice(top, rows[-1] + 1), slice(left, columns[-1] + 1)
        shown = alpha[box][..., None]
        rgba = np.concatenate([picture[box], 255 * shown], axis=2).astype(np.float32)
        corner = self._window.x + int(left), self._window.y + int(top)
        return Reference(number, corner, encode(rgba), self._limbs, hidden)

    def _person(self, plate: Rgb | None) -> Floats:
        """H W, 0..1, without what else differs from the background."""
        nearest = self._away.min(axis=0)
        if plate is None:
            return np.asarray(np.clip(2.5 - 2 * nearest, 0, 1), np.float32)
        core = np.delete(self._away, _NAMES.index("head"), axis=0).min(axis=0) < CORE
        mask = np.where(core, 1, silhouette(self._frame, plate)) * np.isfinite(nearest)
        count, labels = cv2.connectedComponents((mask > 0.3).astype(np.uint8))
        keep = np.zeros(count, bool)
        keep[np.unique(labels[core])] = True
        keep[0] = True
        return np.asarray(mask * keep[labels], np.float32)

    def _owners(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The part that each pixel shows, H W, and, 8 H W, where a part is behind another."""
        owner = self._away.argmin(axis=0)
        claimed, covered = np.zeros(owner.shape, bool), np.zeros(self._away.shape, bool)
        for part in reversed(far_first(self._limbs)):
            g = _NAMES.index(part)
            solid = self._away[g] < CLAIM.get(kind(part), 1)
            covered[g] = claimed
            owner[solid & ~claimed] = g
            claimed |= solid
        return owner, covered

    def _alpha(self, part: str) -> Floats:
        """H W, 0..1; at a joint with another part some of that, too, so that no gap opens there."""
        g = _NAMES.index(part)
        mine = (self._owner == g).astype(np.float32)
        for (x, y), radius_px in self._joints(part):
            disc = np.zeros_like(mine)
            centre = round((x - self._window.x) * 16), round((y - self._window.y) * 16)
            cv2.circle(disc, centre, round(radius_px * 16), 1.0, -1, cv2.LINE_8, 4)
            np.maximum(mine, disc, out=mine, where=self._away[g] < 1.2)
        softness_px = max(0.6, self._limbs.stature_px / 250)
        return np.asarray(cv2.GaussianBlur(mine, (0, 0), softness_px) * self._mask, np.float32)

    def _joints(self, part: str) -> list[tuple[tuple[float, float], float]]:
        """Places and radii in pixels."""
        side = part.partition("_")[0]
        joints = {
            "arm": ((f"{side}_hand", f"{side}_forearm", 1.0), (f"{side}_upper_arm", f"{side}_upper_arm", 1.0)),
            "hand": ((f"{side}_hand", f"{side}_forearm", 1.0),),
            "head": (("head", "head", 0.6),),
        }
        return [
            (tuple(self._limbs.start_px[BONE[at]].tolist()), factor * float(self._limbs.half_px[BONE[wide]]))
            for at, wide, factor in joints.get(kind(part), ())
        ]

    def _hole(self, part: str, alpha: Floats) -> Mask:
        """What nearer parts hide of a part, a little wider for the outline of what hides it."""
        g, stature = _NAMES.index(part), self._limbs.stature_px
        behind = self._covered[g] & (self._owner != g) & (alpha < 0.5) & (self._mask > 0.5)
        hole = behind & (self._away[g] < FILLED.get(part, 0.6))
        hole &= _between(alpha > 0.5) if part in FILLED else _wider(alpha > 0.5, 0.05 * stature)
        return _wider(hole, 0.006 * stature)


def _fill(picture: Rgb, hole: Mask, known: Mask) -> Rgb:
    """Paint over a hole from what is known near it (Telea, 2004)."""
    rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    box = tuple(slice(max(int(part[0]) - 8, 0), int(part[-1]) + 9) for part in (rows, columns))
    painted = picture.copy()
    unknown = (hole | ~known)[box].astype(np.uint8)
    paint = cv2.inpaint(np.ascontiguousarray(picture[box]), unknown, 3, cv2.INPAINT_TELEA)
    painted[box][hole[box]] = paint[hole[box]]
    return painted


def _between(mask: Mask) -> Mask:
    """What has some of the mask both to its left and to its right: a hand beside a waist does not widen it."""
    left, right = (np.logical_or.accumulate(side, axis=1) for side in (mask, mask[:, ::-1]))
    return np.asarray(left & right[:, ::-1])


def _wider(mask: Mask, margin_px: float) -> Mask:
    side = 2 * round(margin_px) + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side))) > 0)
