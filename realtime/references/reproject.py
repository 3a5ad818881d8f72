"""Reprojection: the last rendered picture moved into a newer pose.

A person is moved limb by limb, as virtual reality moves whole pictures between two renderings. It takes a tenth of a
rendering's time, so pictures can be shown as soon as the pose is known, and at the source's rate, while the networks
render as fast as they can.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.engine import Box
from realtime.frame import Rgb
from realtime.patches import PATCH, pixels_of
from realtime.pose.pose import Floats
from realtime.references.atlas import Rgba
from realtime.references.bones import Limbs
from realtime.references.composite import Warp, around
from realtime.references.inputs import MovedParts
from realtime.references.limb_frames import LimbFrames, Window

_LEAST = np.float32(1e-4)
"""Least cover of what follows the limbs all the way."""
_EDGE = np.float32(1 / 8)
"""Least cover that counts as the limb's own place."""
MOST_WAY, MOST_TURN, MOST_HEAD_TURN = 0.4, 0.4, 0.6
"""How far the end of a bone may have gone, in statures, and shoulders and head may have turned, in radians: what comes
into sight then is in no rendering. A dancer is beyond in one of 200 pictures at 30 a second."""
_THERE, _GONE = 0.5, 0.25
"""How sure a bone is that is to be seen, and one that is not."""


class Rendering(NamedTuple):
    """A rendered picture, and what it takes to move the person in it. H W pixels, h w positions of 4x4."""

    picture: Rgb
    """uint8 H W 3."""
    person: Rgba
    """uint8 H W 4: the picture without the background, times the person's share, and that share."""
    limbs: Limbs
    covers: Floats
    """float32 h w in 0..1: how much of each position the limbs cover."""
    box: Box
    """The positions that the limbs reach."""

    @classmethod
    def of(cls, picture: Rgb, share: NDArray[np.uint8], plate: Rgb, moved: MovedParts) -> "Rendering | None":
        """Cut the person out of a picture that was blended with the plate; None if nobody is in it.

        Args:
            picture: uint8 H W 3.
            share: uint8 H W 3, of the person (and shadow) in each pixel, three times the same.
            plate: uint8 H W 3.
            moved: the inputs that the picture was rendered from.
        """
        if moved.limbs is None or moved.box is None:
            return None
        person = cv2.subtract(picture, cv2.multiply(plate, cv2.bitwise_not(share), scale=1 / 255))
        rgba = cv2.merge([*cv2.split(person), cv2.extractChannel(share, 0)])
        return cls(picture, np.asarray(rgba, np.uint8), moved.limbs, moved.covers, moved.box)


def is_near(limbs: Limbs, others: Limbs) -> bool:
    """Whether a picture of `others` can be moved into `limbs`: nothing has come into sight, nothing is far away."""
    there, gone = limbs.sure > _THERE, others.sure < _GONE
    ways_px = np.concatenate([limbs.start_px - others.start_px, limbs.end_px - others.end_px])[np.tile(there, 2)]
    turned = _turn(limbs.yaw, others.yaw) > MOST_TURN or _turn(limbs.head_yaw, others.head_yaw) > MOST_HEAD_TURN
    far = np.abs(ways_px).max(initial=0) > MOST_WAY * limbs.stature_px
    return not (turned or far or (there & gone).any())


def _turn(one: float, other: float) -> float:
    """Between two yaws, 0..pi."""
    return abs((one - other + np.pi) % (2 * np.pi) - np.pi)


class Reprojector:
    """Moves renderings of one subject; belongs to one thread.

    Args:
        plate: uint8 H W 3.
    """

    def __init__(self, plate: Rgb) -> None:
        height, width, _ = plate.shape
        window = Window(0, 0, width, height)
        self._frames, self._warp = LimbFrames(window), Warp(window)
        self._plate = np.asarray(cv2.cvtColor(plate, cv2.COLOR_RGB2RGBA), np.uint8)
        self._flow = np.empty((height // PATCH, width // PATCH, 2), np.float32)
        self._moved = np.empty(self._plate.size, np.uint8)

    def step(self, last: Rendering, limbs: Limbs) -> Rgb:
        """The person of a rendering in another pose, a new picture, uint8 H W 3.

        Args:
            last: of the same subject.
            limbs: the subject's in that pose.
        """
        self._frames.place(limbs)
        covers = self._frames.flow(last.limbs, self._flow)
        box = _union(last.box, around(self._frames.fields)) if self._frames.fields else last.box
        # Beside the limbs, too, everything goes along with them: the person is cut out, the background does not follow.
        whole = np.maximum(covers[box], _LEAST)
        dx, dy = (np.divide(self._flow[box][..., axis], whole, dtype=np.float32) for axis in (0, 1))
        person = self._warp.warp(last.person, (0, 0), box, dx, dy, self._moved, cv2.BORDER_REPLICATE)
        # What limbs have left shows what is behind them.
        left = np.minimum(last.covers[box] / _EDGE, 1) * (1 - np.minimum(covers[box] / _EDGE, 1))
        stays = cv2.resize(
            (255 - 255 * left).astype(np.uint8), None, fx=PATCH, fy=PATCH, interpolation=cv2.INTER_LINEAR
        )
        cv2.multiply(person, cv2.merge([stays] * 4), person, 1 / 255)
        pixels = pixels_of(box)
        behind = cv2.merge([cv2.bitwise_not(cv2.extractChannel(person, 3))] * 4)
        cv2.add(cv2.multiply(self._plate[pixels], behind, scale=1 / 255), person, person)
        picture = last.picture.copy()
        picture[pixels] = cv2.cvtColor(person, cv2.COLOR_RGBA2RGB)
        return picture


def _union(one: Box, other: Box) -> Box:
    rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return rows, columns
