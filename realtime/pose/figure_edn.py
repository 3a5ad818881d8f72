"""Draw a pose as the paper's stick figure (Everybody Dance Now), for data sets that OpenPose has labelled.

A white canvas; a dot on every joint; limbs as filled ellipses, blended 0.6 over 0.4 one after the other, each in the
colour of its first joint; eight black dots for the face; a colour per finger. Sizes are for a height of 1080 pixels and
scale with the canvas; edges are anti-aliased, which is what a figure of 1080 pixels becomes when it is made smaller.

The paper joins 23 joints by 22 limbs. The two small toes are not among our keypoints: here it is 21 joints, 20 limbs.
"""

import colorsys
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND

STYLE = "edn"
STYLE_VERSION = 1
"""Changes with any drawn pixel; a subject trained with another version is refused."""

SURE = 0.05
"""Least confidence of a joint of body or hand."""
SURE_FACE = 0.2
"""Least mean confidence of the face."""
FULL_HEIGHT_PX = 1080
DOT_PX, LIMB_PX, FINGER_PX, FACE_DOT_PX = 8, 4, 2, 3
"""Radii and half-widths at that height; the paper does not give the last two."""
EDGE_PX = 0.5
"""How far OpenCV's anti-aliased edge lies outside of an outline."""
OVER = 0.6

_SUBPIXEL_BITS = 4
_ONE = 1 << _SUBPIXEL_BITS
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 24, endpoint=False)) for f in (np.cos, np.sin)], axis=1)

Color = tuple[float, float, float]


def _hue(degrees: float, value: float = 1.0) -> Color:
    r, g, b = colorsys.hsv_to_rgb(degrees / 360, 1, value)
    return 255 * r, 255 * g, 255 * b


# OpenPose colours its joints by steps of 20 degrees of hue: down the right side, then the left, then the head.
_HUES: dict[str, float] = {
    "nose": 340, "neck": 0,
    "right_shoulder": 20, "right_elbow": 40, "right_wrist": 60,
    "left_shoulder": 80, "left_elbow": 100, "left_wrist": 120,
    "middle_hip": 0, "right_hip": 140, "right_knee": 160, "right_ankle": 180,
    "left_hip": 200, "left_knee": 220, "left_ankle": 240,
    "right_eye": 320, "left_eye": 280, "right_ear": 300, "left_ear": 260,
    "left_foot_index": 240, "right_foot_index": 180,
}  # fmt: skip
_JOINTS = {name: i for i, name in enumerate(_HUES)}
_LIMBS = [
    (_JOINTS[a], _JOINTS[b])
    for a, b in (
        ("neck", "right_shoulder"), ("neck", "left_shoulder"),
        ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("neck", "middle_hip"), ("middle_hip", "right_hip"), ("middle_hip", "left_hip"),
        ("right_hip", "right_knee"), ("right_knee", "right_ankle"), ("right_ankle", "right_foot_index"),
        ("left_hip", "left_knee"), ("left_knee", "left_ankle"), ("left_ankle", "left_foot_index"),
        ("neck", "nose"), ("nose", "right_eye"), ("right_eye", "right_ear"),
        ("nose", "left_eye"), ("left_eye", "left_ear"),
    )
]  # fmt: skip
_FROM_BODY = np.array([INDEX.get(name, 0) for name in _HUES])
_COLORS = [_hue(hue) for hue in _HUES.values()]

_FACE_DOTS = [FACE.start + i for i in (27, 30, 33, 8, 0, 16, 68, 69)]
"""Nose bridge and tip, under the nose, chin, jaw ends, pupils."""

_FINGERS = [
    ([0, *range(4 * finger + 1, 4 * finger + 5)], _hue(hue, 0.9)) for finger, hue in enumerate((0, 45, 120, 210, 290))
]


def draw(pose: Pose | None, size_px: int, width_px: int | None = None) -> Rgb:
    """Draw a figure on a canvas.

    Args:
        pose: keypoints in the canvas's own pixels; None leaves the canvas white.
        size_px: height of the canvas; the lines are as thick as suits it.
        width_px: its width; square if not given.

    Returns:
        uint8 [size_px, width_px, 3], RGB.
    """
    canvas = np.full((size_px, width_px or size_px, 3), 255, np.uint8)
    if pose is None:
        return canvas
    dot_px, limb_px, finger_px, face_dot_px = (
        max(0.1, radius_px * size_px / FULL_HEIGHT_PX - EDGE_PX)
        for radius_px in (DOT_PX, LIMB_PX, FINGER_PX, FACE_DOT_PX)
    )
    everything = np.clip(pose.xy, -4 * size_px, 5 * size_px)
    xy, confidence = _joints(everything, pose.confidence)
    for point, sure, color in zip(xy, confidence >= SURE, _COLORS, strict=True):
        if sure:
            _fill(canvas, point + dot_px * _CIRCLE, color)
    for a, b in _LIMBS:
        if min(confidence[a], confidence[b]) >= SURE:
            _blend(canvas, _ellipse(xy[a], xy[b], limb_px), _COLORS[a])
    if pose.confidence[FACE].mean() >= SURE_FACE:
        for i in _FACE_DOTS:
            _fill(canvas, everything[i] + face_dot_px * _CIRCLE, (0.0, 0.0, 0.0))
    for hand in (LEFT_HAND, RIGHT_HAND):
        points, sure = everything[hand], pose.confidence[hand] >= SURE
        for finger, color in _FINGERS:
            for a, b in pairwise(finger):
                if sure[a] and sure[b]:
                    _blend(canvas, _ellipse(points[a], points[b], finger_px), color)
    return canvas


def _joints(xy: Floats, confidence: Floats) -> tuple[Floats, Floats]:
    """Position and confidence of the joints of `_HUES`; neck and middle of the hip lie between left and right."""
    joints, sure = xy[_FROM_BODY], confidence[_FROM_BODY]
    for name, part in (("neck", "shoulder"), ("middle_hip", "hip")):
        pair = [INDEX[f"left_{part}"], INDEX[f"right_{part}"]]
        joints[_JOINTS[name]], sure[_JOINTS[name]] = xy[pair].mean(axis=0), confidence[pair].min()
    return joints, sure


def _ellipse(a: Floats, b: Floats, half_width_px: float) -> NDArray[np.float64]:
    """The outline of the ellipse that has `a` and `b` as its ends."""
    along = (b - a) / 2
    half_length = max(1e-6, float(np.hypot(*along)))
    across = np.array([-along[1], along[0]]) * (half_width_px / half_length)
    return np.asarray((a + b) / 2 + _CIRCLE @ np.stack([along, across]), np.float64)


def _fill(canvas: Rgb, outline: NDArray[np.floating], color: Color) -> None:
    cv2.fillConvexPoly(canvas, np.round(outline * _ONE).astype(np.int32), color, cv2.LINE_AA, _SUBPIXEL_BITS)


def _blend(canvas: Rgb, outline: NDArray[np.floating], color: Color) -> None:
    """Fill with 0.6 of the colour over 0.4 of what is there; only the outline's own box is touched."""
    x0, y0 = np.maximum(0, np.floor(outline.min(axis=0)).astype(int) - 2)
    x1, y1 = np.maximum(0, np.ceil(outline.max(axis=0)).astype(int) + 3)
    window = canvas[y0:y1, x0:x1]
    if window.size:
        filled = window.copy()
        _fill(filled, outline - (x0, y0), color)
        window[...] = cv2.addWeighted(filled, OVER, window, 1 - OVER, 0)
