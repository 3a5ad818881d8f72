"""The `mediapipe` library's Holistic as an estimator: the reference for our own.

Only its release 0.10.21 will do: later ones carry no networks and send usage metrics.
"""

from typing import Any

import numpy as np

from engines.errors import UserError
from engines.install import install_line
from realtime.frame import Rgb
from realtime.pose.estimation.economy import Economy
from realtime.pose.estimation.face import openpose_face
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import BODY, FACE, LEFT_HAND, RIGHT_HAND, K

try:
    from mediapipe.python.solutions.holistic import Holistic
except ImportError as error:
    raise UserError(
        f"The mediapipe library cannot be used ({error}): leave out --pose mediapipe, or, with Python 3.11 or 3.12, "
        f"{install_line('mediapipe')}"
    ) from error


class HolisticEstimator:
    """Holistic (model complexity 1, without the smoothing of its results), body, hands and face of one person.

    The confidence of a body keypoint is its visibility. The library tells none of hands and face: it is 1 where seen.
    """

    track_id = 0
    """Always the same: the library does not tell people apart."""

    def __init__(self) -> None:
        self._holistic = Holistic(model_complexity=1, smooth_landmarks=False)
        self._shape = (0, 0)

    def reset(self) -> None:
        """Forget the person: the next estimate is as that of a new estimator."""
        self._holistic.reset()

    def next_person(self) -> None:
        """Nothing: the library follows one person, and which one cannot be chosen."""

    def economize(self, economy: Economy) -> None:
        """Nothing: the library does everything in every picture."""

    def estimate(self, rgb: Rgb) -> Pose | None:
        """Estimate the pose in a picture; as `PoseEstimator.estimate`."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size or rgb.dtype != np.uint8:
            raise ValueError(f"want a picture H W 3 uint8, not {rgb.shape} {rgb.dtype}")
        if rgb.shape[:2] != self._shape:
            self.reset()
            self._shape = (rgb.shape[0], rgb.shape[1])
        seen = self._holistic.process(rgb)
        if seen.pose_landmarks is None:
            return None
        rows = np.zeros((K, 4), np.float32)
        rows[BODY] = _rows(seen.pose_landmarks)
        for part, landmarks in ((LEFT_HAND, seen.left_hand_landmarks), (RIGHT_HAND, seen.right_hand_landmarks)):
            if landmarks is not None:
                rows[part] = _rows(landmarks)
                rows[part, 3] = 1
        if seen.face_landmarks is not None:
            rows[FACE] = openpose_face(_rows(seen.face_landmarks))
            rows[FACE, 3] = 1
        height, width = self._shape
        rows[:, :3] *= (width, height, width)  # the library measures depth in widths of the picture
        return Pose(rows[:, :2].copy(), rows[:, 2].copy(), rows[:, 3].copy())


def _rows(landmarks: Any) -> Floats:
    return np.array([(point.x, point.y, point.z, point.visibility) for point in landmarks.landmark], np.float32)
