"""Find and follow the face: the face mesh of MediaPipe Holistic (arXiv 1907.06724).

Holistic also runs a face detector, in every frame. Here the body's eyes, ears, nose and mouth alone say where to look:
it finds a face in the same frames, and eyes and nose are as near to the truth (both 3.9 % of the face's size on the
project's footage) and as steady.
"""

from dataclasses import dataclass, replace
from math import radians

import numpy as np

from realtime.pose.estimation.blazepose import Body
from realtime.pose.estimation.region import Leash, Region, RegionNetwork, Rgba, around, sigmoid, turn
from realtime.pose.pose import Floats
from realtime.pose.skeleton import BODY_NAMES

_MIN_PRESENCE = 0.5
_LEASH = Leash(rotation=radians(15), shift=0.1, growth=0.3, margin=-0.2)
_RIGHT_EYE_CORNER, _LEFT_EYE_CORNER = 33, 263
_RIGHT_EYE = [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]
_LEFT_EYE = [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]
_IBUG_68 = [
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lip
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lip
]  # fmt: skip
"""Which of the mesh's 468 points stand for iBUG's 68."""


@dataclass(frozen=True, slots=True)
class Face:
    """The 468 points of a face mesh."""

    xy: Floats
    """468 2, pixels."""
    depth: Floats
    """468, pixels, from the face's centre, nearer is smaller."""
    presence: float
    """0.5..1: how sure it is that this is a face."""


class FaceTracker:
    """Follows the face of a body.

    Args:
        threads: cores that one run may use.
    """

    def __init__(self, threads: int) -> None:
        self._network = RegionNetwork("face_landmark", ("conv2d_21", "conv2d_31"), threads)
        self.look_every = 1
        """It is looked at once in so many pictures, and goes along with the head meanwhile; from any thread."""
        self.reset()

    def reset(self) -> None:
        """Forget the face."""
        self._last: Face | None = None
        self._head = Region(0.0, 0.0, 1.0, 0.0)
        self._pictures = 0

    def track(self, rgba: Rgba, body: Body) -> Face | None:
        """The face of a body in a picture (H W 4), None where it is not to be seen."""
        region = _around_head(body.xy[: BODY_NAMES.index("mouth_right") + 1])
        if self._pictures % self.look_every == 0:
            self._last = self._look(rgba, region, self._last)
        elif self._last is not None:
            self._last = replace(self._last, xy=region.to_frame(self._head.from_frame(self._last.xy)))
        self._head, self._pictures = region, self._pictures + 1
        return self._last

    def _look(self, rgba: Rgba, region: Region, last: Face | None) -> Face | None:
        """The face where the head is, `region`, or where the face was."""
        if last is not None:
            tracked = _around_face(last.xy)
            if _LEASH.holds(tracked, last.xy, region):
                region = tracked
        mesh, logit = self._network(rgba, region)
        presence = sigmoid(logit).item()
        if presence <= _MIN_PRESENCE:
            return None
        raw = mesh.reshape(468, 3) / np.float32(self._network.side)
        return Face(region.to_frame(raw[:, :2]), raw[:, 2] * np.float32(region.size), presence)


def openpose_face(mesh: Floats) -> Floats:
    """Take the 70 face keypoints of `skeleton` from the mesh: 468 C to 70 C."""
    pupils = mesh[[_RIGHT_EYE, _LEFT_EYE]].mean(1)
    return np.concatenate([mesh[_IBUG_68], pupils])


def _around_head(xy: Floats) -> Region:
    """Where the body's 11 landmarks of the head see the face."""
    right, left = xy[BODY_NAMES.index("right_eye")].tolist(), xy[BODY_NAMES.index("left_eye")].tolist()
    return around(xy, turn(right, left, 0.0), scale=2.1)


def _around_face(xy: Floats) -> Region:
    """The region of a face from its mesh in the picture before."""
    rotation = turn(xy[_RIGHT_EYE_CORNER].tolist(), xy[_LEFT_EYE_CORNER].tolist(), 0.0)
    return around(xy, rotation, scale=1.5)
