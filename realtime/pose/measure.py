"""Lengths and places that follow from a pose."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import INDEX


def middle(pose: Pose, joint: str) -> Floats:
    """The point between the left and the right `joint`, in pixels."""
    return np.asarray((pose.xy[INDEX[f"left_{joint}"]] + pose.xy[INDEX[f"right_{joint}"]]) / 2, np.float32)


def stature_px(pose: Pose) -> float:
    """Nose to ankle along the bones: unlike the height in the picture it hardly changes in a crouch. At least 1."""
    shoulders, hips = middle(pose, "shoulder"), middle(pose, "hip")
    leg = max(
        _length(pose.xy[INDEX[f"{side}_hip"]], pose.xy[INDEX[f"{side}_knee"]], pose.xy[INDEX[f"{side}_ankle"]])
        for side in ("left", "right")
    )
    return max(1.0, _length(pose.xy[INDEX["nose"]], shoulders, hips) + leg)


def ankle_line_px(pose: Pose) -> float:
    """The y of the lower ankle, that is of the foot that stands."""
    return float(max(pose.at("left_ankle")[1], pose.at("right_ankle")[1]))


@dataclass(frozen=True, slots=True)
class HeadBox:
    """A square around the head, in pixels."""

    x: float
    y: float
    """Centre."""
    side_px: float


def head_box(pose: Pose) -> HeadBox:
    """A square with the whole head and some hair in it, scaled by the distance from ears to shoulders."""
    ears = middle(pose, "ear")
    neck_px = max(2.0, _length(ears, middle(pose, "shoulder")))
    return HeadBox(float(ears[0]), float(ears[1]), 1.9 * neck_px)


def _length(*points: Floats) -> float:
    return float(sum(np.linalg.norm(b - a) for a, b in pairwise(points)))
