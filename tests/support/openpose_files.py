"""Files as OpenPose writes them."""

import json
from pathlib import Path

import numpy as np

from realtime.pose.openpose import BODY_25
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND

MIDDLES = {1: "shoulder", 8: "hip"}
"""Where BODY_25 has neck and middle hip."""


def write_frame(path: Path, pose: Pose | None) -> None:
    """One file (BODY_25, face, hands); None says that nobody is there."""
    people = []
    if pose is not None:
        rows = np.concatenate([pose.xy, pose.confidence[:, None]], axis=1)
        body = np.stack([rows[INDEX[name]] if name else np.zeros(3, np.float32) for name in BODY_25])
        for i, joint in MIDDLES.items():
            left, right = rows[INDEX[f"left_{joint}"]], rows[INDEX[f"right_{joint}"]]
            body[i] = [*(left[:2] + right[:2]) / 2, min(left[2], right[2])]
        parts = {"pose": body, "face": rows[FACE], "hand_left": rows[LEFT_HAND], "hand_right": rows[RIGHT_HAND]}
        people = [{f"{name}_keypoints_2d": _numbers(part) for name, part in parts.items()}]
    path.write_text(json.dumps({"version": 1.3, "people": people}))


def _numbers(rows: Floats) -> list[float]:
    rows = np.where(rows[:, 2:] > 0, rows, np.float32(0))
    return [round(float(number), 3) for number in rows.ravel()]
