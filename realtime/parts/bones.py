"""The bones of a pose: where they lie, how wide the flesh around them is, how near, and the parts they belong to.

B = 15 bones, in the order of `BONES`; G = 8 parts, in the order of `PARTS`. Left and right are the person's own.
A bone has a start and an end in pixels, and a half-width: across it, flesh and clothes end at about one of them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from realtime.pose.figure import SURE, UNSURE
from realtime.pose.measure import ankle_line_px, stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import INDEX, K

SIDES = ("left", "right")
PARTS = {
    "torso": ("torso", "pelvis"),
    "head": ("head",),
    **{f"{side}_arm": (f"{side}_upper_arm", f"{side}_forearm") for side in SIDES},
    **{f"{side}_hand": (f"{side}_hand",) for side in SIDES},
    **{f"{side}_leg": (f"{side}_thigh", f"{side}_shin", f"{side}_foot") for side in SIDES},
}
"""The bones of each part."""
BONES = tuple(bone for bones in PARTS.values() for bone in bones)
B = len(BONES)
BONE = {name: i for i, name in enumerate(BONES)}
PART_BONES = tuple(np.array([BONE[bone] for bone in bones]) for bones in PARTS.values())

HALF_WIDTHS = {
    "torso": 0.14, "pelvis": 0.2, "head": 0.12, "upper_arm": 0.05, "forearm": 0.042, "hand": 0.045,
    "thigh": 0.085, "shin": 0.06, "foot": 0.045,
}  # fmt: skip
"""In statures, of a person in light clothes; an atlas knows better."""
CAPS = {"torso": 0.07, "pelvis": 0.04, "head": 0.08}
"""Statures by which flesh goes on beyond a bone's ends; a half-width for all others."""
BEHIND = {"thigh": 0.12, "shin": 0.06}
"""Statures that a bone counts as farther away than it is: skirts, shirts and coats hang before the legs."""

_SHOULDERS, _HIPS, _KNEES, _EARS = (
    {f"{side}_{joint}": 0.5 for side in SIDES} for joint in ("shoulder", "hip", "knee", "ear")
)
_Place = dict[str, float]
"""A weighted mean of keypoints."""


@dataclass(frozen=True, slots=True)
class Limbs:
    """The bones of one pose."""

    start_px: Floats
    """B 2."""
    end_px: Floats
    """B 2."""
    half_px: Floats
    """B, half-widths, at least 1."""
    cap_px: Floats
    """B, how far flesh goes beyond the ends, at least 1."""
    sure: Floats
    """B, 0..1; 0 means that the bone is missing."""
    depth_px: Floats
    """B, along the camera axis, nearer is smaller; clothes before legs, see `BEHIND`."""
    yaw: float
    """Of the shoulders, radians: 0 faces the camera, positive with the left shoulder farther away."""
    head_yaw: float
    """The same of the ears."""
    ground_px: Floats
    """2, the floor between the feet."""
    stature_px: float
    pose: Pose


def plain_widths() -> Floats:
    """Half-widths in statures as seen from the front and from the side, B 2, of nobody in particular."""
    widths = [HALF_WIDTHS[_kind(bone)] for bone in BONES]
    return np.repeat(np.array(widths, np.float32)[:, None], 2, axis=1)


def limbs_of(pose: Pose, widths: Floats) -> Limbs:
    """The bones of a pose.

    Args:
        pose: in the picture's pixels.
        widths: B 2, half-widths in statures from the front and from the side.
    """
    starts, ends, deep, needed = _matrices()
    stature = stature_px(pose)
    yaw, head_yaw = _yaw(pose, "shoulder"), _yaw(pose, "ear")
    turned = np.where(_ON_HEAD, head_yaw, yaw)
    # The outline of an upright cylinder whose section is an ellipse.
    half = stature * np.hypot(widths[:, 0] * np.cos(turned), widths[:, 1] * np.sin(turned))
    weakest = np.where(needed, pose.confidence, np.float32(1)).min(axis=1)
    return Limbs(
        start_px=starts @ pose.xy,
        end_px=ends @ pose.xy,
        half_px=np.maximum(half, 1).astype(np.float32),
        cap_px=np.maximum(np.where(np.isnan(_CAPS), half, stature * _CAPS), 1).astype(np.float32),
        sure=np.clip((weakest - UNSURE) / (SURE - UNSURE), 0, 1).astype(np.float32),
        depth_px=deep @ pose.depth + np.float32(stature) * _BEHIND,
        yaw=yaw,
        head_yaw=head_yaw,
        ground_px=np.array([pose.xy[_ANKLES, 0].mean(), ankle_line_px(pose)], np.float32),
        stature_px=stature,
        pose=pose,
    )


def _kind(bone: str) -> str:
    return bone.removeprefix("left_").removeprefix("right_")


_ANKLES = [INDEX[f"{side}_ankle"] for side in SIDES]
_ON_HEAD = np.array([bone == "head" for bone in BONES])
_CAPS = np.array([CAPS.get(bone, np.nan) for bone in BONES], np.float32)
_BEHIND = np.array([BEHIND.get(_kind(bone), 0.0) for bone in BONES], np.float32)


def _yaw(pose: Pose, joint: str) -> float:
    left, right = INDEX[f"left_{joint}"], INDEX[f"right_{joint}"]
    away, across = pose.depth[left] - pose.depth[right], pose.xy[left, 0] - pose.xy[right, 0]
    return float(np.arctan2(away, across))


def _ends(bone: str) -> tuple[_Place, _Place]:
    """Where a bone starts and ends; weights below zero go beyond a keypoint."""
    side = bone.partition("_")[0]
    joints = {
        "torso": (_HIPS, _SHOULDERS),
        "pelvis": (_HIPS, _KNEES),
        # From the neck through the ears to the crown.
        "head": ({**_scaled(_SHOULDERS, 0.6), **_scaled(_EARS, 0.4)}, {**_scaled(_SHOULDERS, -1), **_scaled(_EARS, 2)}),
        "upper_arm": ({f"{side}_shoulder": 1.0}, {f"{side}_elbow": 1.0}),
        "forearm": ({f"{side}_elbow": 1.0}, {f"{side}_wrist": 1.0}),
        # Index and little finger are knuckles: the tips are as far again, less a bend.
        "hand": ({f"{side}_wrist": 1.0}, {f"{side}_wrist": -0.7, f"{side}_index": 0.85, f"{side}_pinky": 0.85}),
        "thigh": ({f"{side}_hip": 1.0}, {f"{side}_knee": 1.0}),
        "shin": ({f"{side}_knee": 1.0}, {f"{side}_ankle": 1.0}),
        "foot": ({f"{side}_heel": 1.0}, {f"{side}_foot_index": 1.0}),
    }
    return joints[_kind(bone)]


def _scaled(place: _Place, factor: float) -> _Place:
    return {name: factor * weight for name, weight in place.items()}


@cache
def _matrices() -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Each B K: keypoints to starts, to ends, to depths, and which keypoints a bone needs."""
    starts, ends = np.zeros((2, B, K), np.float32)
    for b, bone in enumerate(BONES):
        for matrix, place in zip((starts, ends), _ends(bone), strict=True):
            for name, weight in place.items():
                matrix[b, INDEX[name]] += weight
    deep = (starts + ends) / 2
    deep[BONE["head"]] = np.maximum(ends[BONE["head"]], 0) / 2  # of the ears
    return starts, ends, deep, (starts != 0) | (ends != 0)
