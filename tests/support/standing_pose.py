"""A person who stands still, for tests that need a pose and no video."""

import numpy as np

from realtime.pose.pose import Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND, K

_BODY = {
    "nose": (64, 24), "left_ear": (68, 24), "right_ear": (60, 24), "left_eye": (66, 22), "right_eye": (62, 22),
    "left_shoulder": (76, 42), "right_shoulder": (52, 42), "left_elbow": (86, 56), "right_elbow": (42, 56),
    "left_wrist": (90, 70), "right_wrist": (38, 70), "left_hip": (72, 74), "right_hip": (56, 74),
    "left_knee": (74, 94), "right_knee": (54, 94), "left_ankle": (74, 112), "right_ankle": (54, 112),
    "left_foot_index": (78, 116), "right_foot_index": (50, 116),
}  # fmt: skip


def standing(*, x: float = 0.0, y: float = 0.0, scale: float = 1.0) -> Pose:
    """Facing the camera, arms a little away; feet near y 112, 88 px tall, in a picture of 128 unless moved."""
    xy = np.full((K, 2), 64, np.float32)
    for name, point in _BODY.items():
        xy[INDEX[name]] = point
    angles = np.linspace(0, 2 * np.pi, 70, endpoint=False)
    xy[FACE] = np.stack([64 + 5 * np.cos(angles), 24 + 7 * np.sin(angles)], axis=1)
    fan = np.stack([np.repeat(np.linspace(-3, 3, 5), 4), np.tile(np.arange(1, 5), 5) * 2], axis=1)
    for hand, wrist in ((LEFT_HAND, _BODY["left_wrist"]), (RIGHT_HAND, _BODY["right_wrist"])):
        xy[hand] = wrist
        xy[hand.start + 1 : hand.stop] += fan.astype(np.float32)
    moved = (xy * scale + (x, y)).astype(np.float32)
    return Pose(moved, np.zeros(K, np.float32), np.ones(K, np.float32))


def varied(size_px: int) -> Pose:
    """Standing in a picture of `size_px`, every keypoint with another depth and confidence."""
    pose, n = standing(scale=size_px / 128), np.arange(K)
    return Pose(pose.xy, (n * 37 % 101 - 50).astype(np.float32), ((n * 29 % 64) / 63).astype(np.float32))
