"""What a part of the person looks like, as numbers: near in numbers is like in looks.

Lengths are in statures from a joint nearby, so neither place nor size matters much; D differs by part. The weights say
how much a difference matters, by eye: a mouth's millimetres count as much as a wrist's centimetres.
"""

import numpy as np

from realtime.pose.measure import middle
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND
from realtime.references.bones import Limbs

TURN, SIZE, SEEN = 0.25, 0.3, 0.25


def describe(limbs: Limbs, part: str) -> Floats:
    """The descriptor of a part, D."""
    pose = limbs.pose
    if part == "torso":
        return _torso(limbs, pose)
    if part == "head":
        return _head(limbs, pose)
    side, _, kind = part.partition("_")
    if kind == "arm":
        return _join(limbs, 1.0, _from(limbs, f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"))
    if kind == "hand":
        return _hand(limbs, pose, side)
    if kind == "leg":
        ends = f"{side}_knee", f"{side}_ankle", f"{side}_foot_index", f"{side}_heel"
        return _join(limbs, 1.0, _from(limbs, f"{side}_hip", *ends))
    raise ValueError(f"There is no part {part!r}.")


def _torso(limbs: Limbs, pose: Pose) -> Floats:
    hips = middle(pose, "hip")
    near = _around(limbs, hips, [f"{side}_{joint}" for joint in ("shoulder", "hip", "knee") for side in _SIDES])
    arms = _around(limbs, hips, [f"{side}_{joint}" for joint in ("elbow", "wrist") for side in _SIDES])
    return _join(limbs, 1.0, near, 0.3 * arms)


def _head(limbs: Limbs, pose: Pose) -> Floats:
    ears, seen = middle(pose, "ear"), pose.confidence[FACE.start] > 0
    face = (pose.xy[FACE] - ears) / limbs.stature_px * (0.67 * seen)
    features = 3 * (pose.xy[: INDEX["mouth_right"] + 1] - ears) / limbs.stature_px
    neck = _around(limbs, middle(pose, "shoulder"), ["left_ear", "right_ear"])
    return _join(limbs, 0.6, features, neck, face, np.array([SEEN * seen]))


def _hand(limbs: Limbs, pose: Pose, side: str) -> Floats:
    points = LEFT_HAND if side == "left" else RIGHT_HAND
    seen = pose.confidence[points.start] > 0
    hand = (pose.xy[points] - pose.xy[points.start]) / limbs.stature_px * seen
    palm = _from(limbs, f"{side}_wrist", f"{side}_index", f"{side}_pinky", f"{side}_thumb")
    arm = _from(limbs, f"{side}_wrist", f"{side}_elbow")
    return _join(limbs, 0.5, hand, palm, 0.3 * arm, np.array([SEEN * seen]))


_SIDES = ("left", "right")


def _around(limbs: Limbs, middle: Floats, names: list[str]) -> Floats:
    return np.asarray((limbs.pose.xy[[INDEX[name] for name in names]] - middle) / limbs.stature_px, np.float32)


def _from(limbs: Limbs, root: str, *names: str) -> Floats:
    return _around(limbs, limbs.pose.xy[INDEX[root]], list(names))


def _join(limbs: Limbs, turn: float, *rows: Floats) -> Floats:
    """Side by side, with the body's turn and the size in the picture."""
    weight = TURN * turn
    common = weight * np.sin(limbs.yaw), weight * np.cos(limbs.yaw), SIZE * np.log(limbs.stature_px)
    return np.concatenate([*(row.ravel() for row in rows), common]).astype(np.float32)
