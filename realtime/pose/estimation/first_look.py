"""Where MediaPipe's body network has a joint, and where the joint is: a linear correction of what it sees.

That network was taught by people who clicked on pictures, and has shoulders, hips and ears a little elsewhere than the
joints of the skeleton are. Every point is moved by a sum of the vectors to all others, with complex coefficients, so
that turned, moved and scaled points are corrected alike. Fitted by `trainer.refiner.first_look`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.pose.estimation.blazepose import Body
from realtime.pose.estimation.refined_points import BODY_POINTS
from realtime.pose.pose import Floats
from realtime.pose.skeleton import BODY_NAMES

ROWS = [BODY_NAMES.index(name) for name in BODY_POINTS]
"""The refiner's points among the body's."""
_CARRIED = {
    "left_eye_inner": "left_eye", "left_eye_outer": "left_eye", "right_eye_inner": "right_eye",
    "right_eye_outer": "right_eye", "mouth_left": "nose", "mouth_right": "nose", "left_thumb": "left_index",
    "right_thumb": "right_index", "left_heel": "left_ankle", "right_heel": "right_ankle",
}  # fmt: skip
"""What the refiner does not know keeps its place beside what it knows."""
CARRIED_ROWS = [BODY_NAMES.index(name) for name in _CARRIED]
ANCHORS = [BODY_NAMES.index(name) for name in _CARRIED.values()]

Coefficients = NDArray[np.complex64]
"""P P: of the vector from point p to point q in the correction of p."""


def load_coefficients() -> Coefficients:
    """The ones that `scripts/train_refiner.py` made."""
    found: Coefficients = np.load(Path(__file__).parent / "networks" / "body_refiner.first_look.npy")
    return found


def corrected(xy: Floats, coefficients: Coefficients) -> Floats:
    """Correct points (P 2 or N P 2, float32) that MediaPipe's body network sees, in the order of `BODY_POINTS`."""
    return _applied(xy, _matrix(coefficients))


class FirstLook:
    """From the points of MediaPipe's body network to the joints, and back."""

    def __init__(self) -> None:
        self._to_joints = _matrix(load_coefficients())
        self._to_seen = np.linalg.inv(self._to_joints)

    def corrected(self, body: Body) -> Body:
        """A body as MediaPipe's network sees it, with its points where the joints are."""
        return with_points(body, _applied(body.xy[ROWS], self._to_joints))

    def as_seen(self, body: Body) -> Body:
        """A body with its points where MediaPipe's network would see them: for networks that start from those."""
        return with_points(body, _applied(body.xy[ROWS], self._to_seen))


def with_points(body: Body, points: Floats) -> Body:
    """The body with the refiner's points (P 2) in these places, the others moved along with them."""
    xy = body.xy.copy()
    xy[ROWS] = points
    xy[CARRIED_ROWS] += xy[ANCHORS] - body.xy[ANCHORS]
    return replace(body, xy=xy)


def _matrix(coefficients: Coefficients) -> Coefficients:
    """P P: from points to corrected points, both as complex numbers."""
    return coefficients + np.diag(1 - coefficients.sum(axis=1))


def _applied(xy: Floats, matrix: Coefficients) -> Floats:
    z = np.ascontiguousarray(xy, np.float32).view(np.complex64)[..., 0]
    return np.ascontiguousarray(z @ matrix.T).view(np.float32).reshape(xy.shape)
