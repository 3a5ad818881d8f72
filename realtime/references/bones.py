"""The bones of a pose: where they lie, how wide the flesh around them is, how near, and the parts they belong to.

B = 15 bones, in the order of `BONES`; 8 parts, in the order of `PARTS`. Left and right are the person's own.
A bone has a start and an end in pixels, and a half-width: across it, flesh and clothes end at about one of them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from realtime.pose.figure.limbs import INVISIBLE_CONFIDENCE, OPAQUE_CONFIDENCE
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
BONE = {name: b for b, name in enumerate(BONES)}
PART_BONES = {part: np.array([BONE[bone] for bone in bones]) for part, bones in PARTS.items()}
B = len(BONES)
PART_OF = tuple(part for part, bones in PARTS.items() for _ in bones)
"""B, the part of each bone."""

_HALF_WIDTHS = {
    "torso": 0.11, "pelvis": 0.15, "head": 0.09, "upper_arm": 0.038, "forearm": 0.03, "hand": 0.035,
    "thigh": 0.06, "shin": 0.036, "foot": 0.03,
}  # fmt: skip
_CAPS = {"torso": 0.07, "pelvis": 0.06, "head": 0.08}
_BEHIND = {"thigh": 0.25, "shin": 0.25, "foot": 0.25}
_REACHES = {"torso": 1.5, "pelvis": 1.4}

_Place = dict[str, float]
"""Weights of keypoints, which add up to 1."""


def kind(name: str) -> str:
    """What a bone or a part is, without its side."""
    return name.removeprefix("left_").removeprefix("right_")


def per_bone(values: dict[str, float], other: float) -> Floats:
    """B, by the kind of the bone."""
    return np.array([values.get(kind(bone), other) for bone in BONES], np.float32)


REACH = per_bone(_REACHES, 2.0)
"""B, half-widths from a bone to where its membership ends; cloth is wide, and what is far beside it is not cloth."""
_CAP = per_bone(_CAPS, np.nan)
"""B, statures by which flesh goes on beyond a bone's ends; NaN for a half-width."""
_FARTHER = per_bone(_BEHIND, 0.0)
"""B, statures that a bone counts as farther away than it is: skirts, shirts and coats hang before the legs."""
_CONFIDENCE_RANGE = OPAQUE_CONFIDENCE - INVISIBLE_CONFIDENCE
_ANKLES = [INDEX[f"{side}_ankle"] for side in SIDES]
_HEAD = BONE["head"]


@dataclass(frozen=True, slots=True)
class Limbs:
    """The bones of one pose."""

    pose: Pose
    start_px: Floats
    """B 2."""
    end_px: Floats
    """B 2."""
    along: Floats
    """B 2, unit vectors from start to end."""
    length_px: Floats
    """B, at least 1."""
    half_px: Floats
    """B, half-widths, at least 1."""
    cap_px: Floats
    """B, how far flesh goes beyond the ends, at least 1."""
    sure: Floats
    """B, 0..1; 0 means that the bone is missing."""
    depth_px: Floats
    """B, along the camera axis, nearer is smaller; legs count as behind clothes."""
    yaw: float
    """Of the shoulders, radians: 0 faces the camera, positive with the left shoulder farther away."""
    head_yaw: float
    """The same of the ears."""
    ground_px: Floats
    """2, the floor between the feet."""
    stature_px: float


def plain_widths() -> Floats:
    """Half-widths in statures as seen from the front and from the side, B 2, of nobody in particular."""
    return np.repeat(per_bone(_HALF_WIDTHS, 0.0)[:, None], 2, axis=1)


def limbs_of(pose: Pose, widths: Floats) -> Limbs:
    """The bones of a pose.

    Args:
        pose: in the picture's pixels.
        widths: B 2, half-widths in statures from the front and from the side.
    """
    starts, ends, depths, needed = _matrices()
    start, end = starts @ pose.xy, ends @ pose.xy
    way = end - start
    length = np.maximum(np.hypot(way[:, 0], way[:, 1]), np.float32(1))
    stature = np.float32(stature_px(pose))
    yaw, head_yaw = _yaw(pose, "shoulder"), _yaw(pose, "ear")
    half = np.maximum(stature * half_widths(widths, yaw, head_yaw), np.float32(1))
    weakest = np.where(needed, pose.confidence, np.float32(1)).min(axis=1)
    return Limbs(
        pose=pose,
        start_px=start,
        end_px=end,
        along=np.asarray(way / length[:, None], np.float32),
        length_px=length,
        half_px=half,
        cap_px=np.maximum(np.where(np.isnan(_CAP), half, stature * _CAP), np.float32(1)),
        sure=np.clip((weakest - INVISIBLE_CONFIDENCE) / _CONFIDENCE_RANGE, 0, 1).astype(np.float32),
        depth_px=depths @ pose.depth + stature * _FARTHER,
        yaw=yaw,
        head_yaw=head_yaw,
        ground_px=np.array([pose.xy[_ANKLES, 0].mean(), ankle_line_px(pose)], np.float32),
        stature_px=float(stature),
    )


def half_widths(widths: Floats, yaw: float, head_yaw: float) -> Floats:
    """B, in statures: the outline of upright cylinders whose sections are ellipses, when they are turned."""
    turned = np.full(B, yaw, np.float32)
    turned[_HEAD] = head_yaw
    return np.hypot(widths[:, 0] * np.cos(turned), widths[:, 1] * np.sin(turned))


def far_first(limbs: Limbs) -> list[str]:
    """The parts in the order in which they cover each other; a head hangs over its own chest, never behind it."""
    depth = {part: float(limbs.depth_px[bones].mean()) for part, bones in PART_BONES.items()}
    depth["head"] = depth["torso"] - 1
    return sorted(PARTS, key=lambda part: -depth[part])


def _yaw(pose: Pose, joint: str) -> float:
    left, right = INDEX[f"left_{joint}"], INDEX[f"right_{joint}"]
    away, across = pose.depth[left] - pose.depth[right], pose.xy[left, 0] - pose.xy[right, 0]
    return float(np.arctan2(away, across))


@cache
def _matrices() -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Each B K: keypoints to starts, to ends, to depths, and which keypoints a bone needs."""
    starts, ends = np.zeros((2, B, K), np.float32)
    for b, bone in enumerate(BONES):
        for matrix, place in zip((starts, ends), _ends(bone), strict=True):
            for name, weight in place.items():
                matrix[b, INDEX[name]] = weight
    depths = np.asarray((starts + ends) / 2, np.float32)
    depths[_HEAD] = 0
    depths[_HEAD, [INDEX[f"{side}_ear"] for side in SIDES]] = 0.5
    return starts, ends, depths, np.asarray((starts != 0) | (ends != 0), np.bool_)


def _ends(bone: str) -> tuple[_Place, _Place]:
    """Where a bone starts and ends; a weight below zero goes beyond the other keypoints."""
    side = bone.partition("_")[0]
    joints: dict[str, tuple[_Place, _Place]] = {
        "torso": (_middle(hip=1), _middle(shoulder=1)),
        "pelvis": (_middle(hip=1), _middle(knee=1)),
        # From the neck through the ears to the crown.
        "head": (_middle(shoulder=0.6, ear=0.4), _middle(shoulder=-0.8, ear=1.8)),
        "upper_arm": ({f"{side}_shoulder": 1}, {f"{side}_elbow": 1}),
        "forearm": ({f"{side}_elbow": 1}, {f"{side}_wrist": 1}),
        # Index and little finger are knuckles: the tips are as far again, less a bend.
        "hand": ({f"{side}_wrist": 1}, {f"{side}_wrist": -0.7, f"{side}_index": 0.85, f"{side}_pinky": 0.85}),
        "thigh": ({f"{side}_hip": 1}, {f"{side}_knee": 1}),
        "shin": ({f"{side}_knee": 1}, {f"{side}_ankle": 1}),
        "foot": ({f"{side}_ankle": 1}, {f"{side}_foot_index": 1}),
    }
    return joints[kind(bone)]


def _middle(**weights: float) -> _Place:
    return {f"{side}_{joint}": weight / 2 for joint, weight in weights.items() for side in SIDES}
