"""Draw a pose as a stick figure: the generator's only view of a person, the same pixels in training and live.

Style `limbs`: a black canvas, a hue per limb (warm on the left, cool on the right, so that a turned back differs from a
front), far limbs first, lines anti-aliased at network size. Keypoints we are unsure of fade out, so nothing flickers.
"""

import colorsys
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.measure import middle
from realtime.pose.pose import Pose
from realtime.pose.skeleton import FACE, FACE_PARTS, INDEX, LEFT_HAND, RIGHT_HAND

STYLE = "limbs"
STYLE_VERSION = 1
"""Changes with any drawn pixel; a subject trained with another version is refused."""

INVISIBLE_CONFIDENCE, OPAQUE_CONFIDENCE = 0.1, 0.5
"""Confidences at which a limb is invisible and fully drawn."""

_SUBPIXEL_BITS = 4

Color = tuple[float, float, float]


def _hues(first: float, last: float, count: int, value: float = 1.0) -> list[Color]:
    """Evenly spaced saturated colours, RGB 0..255."""
    return [
        (255 * r, 255 * g, 255 * b)
        for r, g, b in (colorsys.hsv_to_rgb(float(h) % 1, 1, value) for h in np.linspace(first, last, count))
    ]


_SIDE_LIMBS = (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"),
    ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot_index"), ("eye", "ear"), ("nose", "eye"),
)  # fmt: skip
_LIMBS: list[tuple[int, int, Color]] = [
    (INDEX.get(f"{side}_{a}", INDEX["nose"]), INDEX[f"{side}_{b}"], color)
    for side, hues in (("left", _hues(-0.06, 0.2, 8)), ("right", _hues(0.36, 0.72, 8)))
    for (a, b), color in zip(_SIDE_LIMBS, hues, strict=True)
] + [
    (INDEX["left_shoulder"], INDEX["right_shoulder"], (255.0, 255.0, 255.0)),
    (INDEX["left_hip"], INDEX["right_hip"], (160.0, 160.0, 160.0)),
]
_LIMB_ENDS = np.array([(a, b) for a, b, _ in _LIMBS])
_HEAD_LIMBS = {i for i, (_, b, _) in enumerate(_LIMBS) if b < INDEX["left_shoulder"]}
"""Drawn only while the face's own landmarks are missing, as in a view from behind."""

_FINGERS = [
    (np.array([0, *range(4 * finger + 1, 4 * finger + 5)]), color) for finger, color in enumerate(_hues(0.78, 1.7, 5))
]

_FACE_LINES: list[tuple[NDArray[np.intp], bool, Color]] = [
    (np.arange(FACE_PARTS[part].start, FACE_PARTS[part].stop), closed, color)
    for part, closed, color in (
        ("jaw", False, (140.0, 140.0, 140.0)),
        ("right_brow", False, (80.0, 160.0, 255.0)),
        ("left_brow", False, (255.0, 160.0, 80.0)),
        ("nose_bridge", False, (200.0, 255.0, 120.0)),
        ("nose_base", False, (200.0, 255.0, 120.0)),
        ("right_eye", True, (60.0, 255.0, 255.0)),
        ("left_eye", True, (255.0, 255.0, 60.0)),
        ("outer_lip", True, (255.0, 60.0, 120.0)),
        ("inner_lip", True, (255.0, 60.0, 255.0)),
    )
]


def draw(pose: Pose | None, size_px: int, width_px: int | None = None) -> Rgb:
    """Draw a figure on a canvas.

    Args:
        pose: keypoints in the canvas's own pixels; None leaves the canvas empty.
        size_px: height of the canvas; the lines are as thick as suits it.
        width_px: its width; square if not given.

    Returns:
        uint8 [size_px, width_px, 3], RGB.
    """
    canvas = np.zeros((size_px, width_px or size_px, 3), np.uint8)
    if pose is None:
        return canvas
    points = np.round(np.clip(pose.xy, -4 * size_px, 5 * size_px) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    opacity = np.clip((pose.confidence - INVISIBLE_CONFIDENCE) / (OPAQUE_CONFIDENCE - INVISIBLE_CONFIDENCE), 0, 1)
    thick_px, thin_px = max(1, round(size_px / 100)), max(1, round(size_px / 300))

    shoulders = middle(pose, "shoulder")
    neck = _fixed((shoulders, (shoulders + middle(pose, "ear")) / 2))
    sure_of_neck = min(opacity[INDEX["left_shoulder"]], opacity[INDEX["right_shoulder"]])
    _line(canvas, neck, (220.0, 120.0, 255.0), sure_of_neck, thick_px)
    has_face = opacity[FACE.start] > 0
    for i in np.argsort(-pose.depth[_LIMB_ENDS].mean(axis=1), kind="stable"):
        a, b, color = _LIMBS[i]
        if not (has_face and i in _HEAD_LIMBS):
            _line(canvas, points[[a, b]], color, min(opacity[a], opacity[b]), thick_px)
    if has_face:
        for indices, closed, color in _FACE_LINES:
            _line(canvas, points[indices], color, opacity[FACE.start], thin_px, closed=closed)
    for hand in (LEFT_HAND, RIGHT_HAND):
        for indices, color in _FINGERS:
            _line(canvas, points[hand][indices], color, opacity[hand.start], thin_px)
    return canvas


def _fixed(points: Iterable[NDArray[np.floating]]) -> NDArray[np.int32]:
    return np.round(np.stack(list(points)) * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _line(
    canvas: Rgb, points: NDArray[np.int32], color: Color, opacity: float, thick_px: int, *, closed: bool = False
) -> None:
    if opacity > 0:
        faded = [float(opacity) * channel for channel in color]
        cv2.polylines(canvas, [points], closed, faded, thick_px, cv2.LINE_AA, _SUBPIXEL_BITS)
