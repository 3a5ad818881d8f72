"""Draw a pose as the paper's stick figure (Everybody Dance Now), for data sets that OpenPose has labelled.

A white canvas; a dot on every joint; limbs as filled ellipses, blended 0.6 over 0.4 one after the other, each in the
colour of its first joint; eight black dots for the face; a colour per finger. Sizes are for a height of 1080 pixels and
scale with the canvas; edges are anti-aliased, which is what a figure of 1080 pixels becomes when it is made smaller.

The paper joins 23 joints by 22 limbs. The two small toes are not among our keypoints: here it is 21 joints, 20 limbs.
"""

import colorsys
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND, K

STYLE = "edn"
STYLE_VERSION = 1
"""Changes with any drawn pixel; a subject trained with another version is refused."""

DRAWN_CONFIDENCE = 0.05
"""Least confidence of a joint of body or hand."""
DRAWN_FACE_CONFIDENCE = 0.2
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
Outlines = NDArray[np.float64]
"""N 24 2, pixels."""


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
_PLACES = {**INDEX, "neck": K, "middle_hip": K + 1}
"""Of keypoints, and behind them of what lies between left and right."""
_JOINTS = np.array([_PLACES[name] for name in _HUES])
_JOINT_COLORS = [_hue(hue) for hue in _HUES.values()]

_LIMB_NAMES = (
    ("neck", "right_shoulder"), ("neck", "left_shoulder"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("neck", "middle_hip"), ("middle_hip", "right_hip"), ("middle_hip", "left_hip"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"), ("right_ankle", "right_foot_index"),
    ("left_hip", "left_knee"), ("left_knee", "left_ankle"), ("left_ankle", "left_foot_index"),
    ("neck", "nose"), ("nose", "right_eye"), ("right_eye", "right_ear"),
    ("nose", "left_eye"), ("left_eye", "left_ear"),
)  # fmt: skip
_LIMBS = np.array([(_PLACES[a], _PLACES[b]) for a, b in _LIMB_NAMES])
_LIMB_COLORS = [_hue(_HUES[a]) for a, _ in _LIMB_NAMES]

_FACE_DOTS = np.array([FACE.start + i for i in (27, 30, 33, 8, 0, 16, 68, 69)])
"""Nose bridge and tip, under the nose, chin, jaw ends, pupils."""
_FACE_COLORS = [(0.0, 0.0, 0.0)] * len(_FACE_DOTS)

_FINGERS = np.array([
    (hand.start + a, hand.start + b)
    for hand in (LEFT_HAND, RIGHT_HAND)
    for finger in range(5)
    for a, b in pairwise((0, *range(4 * finger + 1, 4 * finger + 5)))
])  # fmt: skip
_FINGER_COLORS = [_hue(hue, 0.9) for hue in (0, 45, 120, 210, 290) for _ in range(4)] * 2


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
    points, confidence = _with_middles(np.clip(pose.xy, -4 * size_px, 5 * size_px), pose.confidence)
    sure = confidence >= DRAWN_CONFIDENCE
    face = np.full(len(_FACE_DOTS), pose.confidence[FACE].mean() >= DRAWN_FACE_CONFIDENCE)
    _fill(canvas, _dots(points[_JOINTS], dot_px), _JOINT_COLORS, sure[_JOINTS])
    _blend(canvas, _ellipses(points[_LIMBS], limb_px), _LIMB_COLORS, sure[_LIMBS].all(axis=1))
    _fill(canvas, _dots(points[_FACE_DOTS], face_dot_px), _FACE_COLORS, face)
    _blend(canvas, _ellipses(points[_FINGERS], finger_px), _FINGER_COLORS, sure[_FINGERS].all(axis=1))
    return canvas


def _with_middles(xy: Floats, confidence: Floats) -> tuple[Floats, Floats]:
    """Position and confidence of the keypoints, then of the neck and the middle of the hips."""
    pairs = [[INDEX[f"left_{part}"], INDEX[f"right_{part}"]] for part in ("shoulder", "hip")]
    return (
        np.concatenate([xy, xy[pairs].mean(axis=1)]),
        np.concatenate([confidence, confidence[pairs].min(axis=1)]),
    )


def _dots(centers: Floats, radius_px: float) -> Outlines:
    """The outlines of circles around N 2 points."""
    return np.asarray(centers[:, None] + radius_px * _CIRCLE, np.float64)


def _ellipses(ends: Floats, half_width_px: float) -> Outlines:
    """The outlines of ellipses from one end to the other, N 2 2."""
    a, b = ends[:, :1], ends[:, 1:]
    along = (b - a) / 2
    half_length = np.linalg.norm(along, axis=2, keepdims=True).clip(1e-6)
    across = along[..., ::-1] * (-1, 1) * (half_width_px / half_length)
    return np.asarray((a + b) / 2 + _CIRCLE[:, :1] * along + _CIRCLE[:, 1:] * across, np.float64)


def _fixed(outlines: Outlines) -> NDArray[np.int32]:
    return np.round(outlines * _ONE).astype(np.int32)


def _fill(canvas: Rgb, outlines: Outlines, colors: Sequence[Color], wanted: NDArray[np.bool_]) -> None:
    for outline, color, want in zip(_fixed(outlines), colors, wanted.tolist(), strict=True):
        if want:
            cv2.fillConvexPoly(canvas, outline, color, cv2.LINE_AA, _SUBPIXEL_BITS)


def _blend(canvas: Rgb, outlines: Outlines, colors: Sequence[Color], wanted: NDArray[np.bool_]) -> None:
    """Fill one after the other with 0.6 of its colour over 0.4 of what is there; only its own box is touched."""
    low = np.floor(outlines.min(axis=1)).astype(np.int32).clip(2) - 2
    high = np.ceil(outlines.max(axis=1)).astype(np.int32).clip(-3) + 3
    boxes, fixed = np.hstack([low, high]).tolist(), _fixed(outlines - low[:, None])
    for outline, color, want, (x0, y0, x1, y1) in zip(fixed, colors, wanted.tolist(), boxes, strict=True):
        window = canvas[y0:y1, x0:x1]
        if want and window.size:
            filled = window.copy()
            cv2.fillConvexPoly(filled, outline, color, cv2.LINE_AA, _SUBPIXEL_BITS)
            cv2.addWeighted(filled, OVER, window, 1 - OVER, 0, window)
