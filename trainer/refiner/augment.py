"""Training examples of a refiner: crops as bad as a camera's can be, priors as wrong as a first look can be."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.estimation.refined_points import BODY_AROUND, BODY_POINTS, HAND_AROUND, prior_maps
from realtime.pose.pose import Floats
from trainer.refiner.network import RefinerShape

Dice = np.random.Generator

OTHER_SIDE = [
    BODY_POINTS.index(point.replace("left", "right") if "left" in point else point.replace("right", "left"))
    for point in BODY_POINTS
]
"""The points of the mirrored body."""
_LEGS = [
    BODY_POINTS.index(f"{side}_{joint}") for joint in ("knee", "ankle", "foot_index") for side in ("left", "right")
]
_LIMBS = [
    [BODY_POINTS.index(f"{side}_{joint}") for joint in joints]
    for side in ("left", "right")
    for joints in (("elbow", "wrist", "index", "pinky"), ("knee", "ankle", "foot_index"))
]


@dataclass(frozen=True, slots=True)
class Example:
    """What the network sees, and what it shall say."""

    picture: Rgb
    """S S 3."""
    prior: Floats
    """P g g."""
    step: Floats
    """P 2: how the points moved since the picture before, in sizes of the crop."""
    xy: Floats
    """P 2, 0..1 within the crop."""
    weight: Floats
    """P: 0 where a point lies outside of the crop, so that nothing is asked."""
    present: float
    """1 where there is such a part, 0 where there is none."""


def example(
    picture: Rgb,
    track: Floats,
    seen: Floats,
    visibility: NDArray[np.uint8],
    shape: RefinerShape,
    dice: Dice,
    *,
    other: Rgb | None = None,
    plain: bool = False,
) -> Example:
    """Make an example of a stored crop.

    Args:
        picture: C C 3.
        track: 3 P 2, the true points in this frame and the two before, pixels of the crop.
        seen: P 2, where another network sees them; not-a-number where it does not.
        visibility: P.
        shape: the refiner's.
        dice: draws everything.
        other: a crop to take occluders from.
        plain: no degradation, the part in the middle, and the prior as `seen`: for measuring.
    """
    body = shape.points == len(BODY_POINTS)
    absent = not plain and dice.random() < 0.06
    matrix = _placement(track[0], shape.side_px, dice, body=body, plain=plain, absent=absent)
    size = (shape.side_px, shape.side_px)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop: Rgb = np.asarray(
        cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    back = cv2.invertAffineTransform(matrix)
    track, seen = (
        (points @ back[:, :2].T + back[:, 2]).astype(np.float32) / np.float32(shape.side_px) for points in (track, seen)
    )
    if body and not plain and dice.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
        track, seen, visibility = track[:, OTHER_SIDE], seen[OTHER_SIDE], visibility[OTHER_SIDE]
        track[..., 0], seen[..., 0] = 1 - track[..., 0], 1 - seen[..., 0]
    prior, known = (seen, _finite(seen)) if plain else _prior(track, seen, dice, body=body)
    if not plain:
        crop = _degrade(crop, dice, other)
    truth = track[0]
    inside = ((truth > 0.01) & (truth < 0.99)).all(axis=1) & (visibility > 0)
    return Example(
        crop,
        prior_maps(np.where(known[:, None], prior, 0).astype(np.float32), known, shape.grid),
        truth - track[1],
        truth,
        (inside & (not absent)).astype(np.float32),
        float(inside.mean() > 0.4 and not absent),
    )


def _placement(
    truth: Floats, side_px: int, dice: Dice, *, body: bool, plain: bool, absent: bool
) -> NDArray[np.float64]:
    """The 2 3 matrix from the network's crop to the stored one: turned, scaled and moved at random."""
    low, high = truth.min(axis=0), truth.max(axis=0)
    size, (x, y) = float((high - low).max()) * (BODY_AROUND if body else HAND_AROUND), (low + high) / 2
    angle = 0.0
    if not plain:
        size *= float(np.exp(dice.normal(0, 0.1)))
        angle = float(np.radians(dice.normal(0, 8 if body else 18)))
        x, y = x + dice.normal(0, 0.04 * size), y + dice.normal(0, 0.04 * size)
    if absent:
        away, far = dice.uniform(0, 2 * np.pi), dice.uniform(0.75, 1.1) * size
        x, y = x + far * np.cos(away), y + far * np.sin(away)
    a, b, half = size / side_px * np.cos(angle), size / side_px * np.sin(angle), side_px / 2
    return np.array([[a, -b, x - half * (a - b)], [b, a, y - half * (a + b)]])


def _prior(track: Floats, seen: Floats, dice: Dice, *, body: bool) -> tuple[Floats, NDArray[np.bool_]]:
    """Where the points were believed to be, P 2, and which of them anybody believed anything of."""
    count = len(seen)
    known = np.ones(count, np.bool_)
    kind = dice.random()
    if kind < 0.35 and np.isfinite(seen).any():  # as the other network saw them
        prior, known = seen + dice.normal(0, 0.004, seen.shape), _finite(seen)
    elif kind < 0.75:  # as they were one or two frames ago, or as their speed would have it
        before = track[dice.integers(1, 3)]
        prior = before + dice.uniform(0, 1.2) * (track[1] - track[2])
        prior = prior + dice.normal(0, dice.choice([0.002, 0.006, 0.015]), prior.shape)
    else:  # quite wrong
        prior = track[0] + dice.normal(0, dice.choice([0.01, 0.03]), (count, 2)) + dice.normal(0, 0.02, 2)
        wrong = dice.random(count) < 0.12
        prior = prior + wrong[:, None] * dice.normal(0, 0.08, (count, 2))
    if body and dice.random() < 0.3:
        prior = prior + _lost_limb(dice)
    if body and dice.random() < 0.04:
        prior[_LEGS] = prior[[OTHER_SIDE[leg] for leg in _LEGS]]
    if not body and dice.random() < 0.3:  # a hand that only the arm knows of
        known = known & np.isin(np.arange(count), (0, 5, 17))
        if dice.random() < 0.3:
            known[:] = False
    known[dice.random(count) < (0.05 if dice.random() < 0.8 else 0.4)] = False
    return prior.astype(np.float32), known


def _lost_limb(dice: Dice) -> Floats:
    """P 2: how far an arm or a leg is from where it was believed to be after a fast move, the farther out the more."""
    limb = _LIMBS[int(dice.integers(len(_LIMBS)))]
    away = np.zeros((len(BODY_POINTS), 2), np.float32)
    away[limb] = np.linspace(0.5, 1.2, len(limb))[:, None] * dice.normal(0, dice.choice([0.02, 0.06]), 2)
    return away


def _finite(points: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.all(np.isfinite(points), axis=1), np.bool_)


def _degrade(crop: Rgb, dice: Dice, other: Rgb | None) -> Rgb:
    """Occluders, cut edges, light, blur, noise, compression."""
    side = len(crop)
    crop = crop.copy()
    if other is not None and dice.random() < 0.35:
        _cover(crop, other, dice)
    if dice.random() < 0.2:  # the picture's edge
        cut = int(dice.uniform(0, 0.35) * side)
        turned = np.rot90(crop, int(dice.integers(4)))
        turned[:cut] = turned[cut] if dice.random() < 0.8 else 0
    small = dice.uniform(0.4, 0.95) if dice.random() < 0.3 else 1.0
    if small < 1:
        shrunk = cv2.resize(crop, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
        crop = np.asarray(cv2.resize(shrunk, (side, side)), np.uint8)
    if dice.random() < 0.3:
        length = int(dice.integers(2, 8))
        kernel = np.zeros((9, 9), np.float32)
        across = np.array([np.cos(a := dice.uniform(0, np.pi)), np.sin(a)]) * length / 2
        start, end = np.round(4 - across).astype(int).tolist(), np.round(4 + across).astype(int).tolist()
        cv2.line(kernel, start, end, (1.0,))
        crop = np.asarray(cv2.filter2D(crop, -1, kernel / kernel.sum()), np.uint8)
    light = crop.astype(np.float32) / 255
    light = light ** np.exp(dice.normal(0, 0.3)) * np.exp(dice.normal(0, 0.2)) * np.exp(dice.normal(0, 0.1, 3))
    if dice.random() < 0.3:
        slope = np.linspace(dice.uniform(0.4, 1), dice.uniform(0.8, 1.4), side, dtype=np.float32)
        light *= slope[:, None, None] if dice.random() < 0.5 else slope[None, :, None]
    if dice.random() < 0.15:
        light = light[..., list(dice.permutation(3))]
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * dice.uniform(0, 1.5)
    light = dice.normal(0.5, 0.05) + (light - 0.5) * dice.uniform(0.6, 1.3)
    light += dice.normal(0, abs(dice.normal(0, 0.03)), (*light.shape[:2], dice.choice([1, 3])))
    crop = (light * 255).clip(0, 255).astype(np.uint8)
    if dice.random() < 0.35:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(dice.integers(15, 80))]
        crop = np.asarray(cv2.imdecode(cv2.imencode(".jpg", crop, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return crop


def _cover(crop: Rgb, other: Rgb, dice: Dice) -> None:
    """Lay a piece of another picture over the crop, with a straight or a round edge."""
    side = len(crop)
    long, thin = dice.uniform(0.08, 0.45, 2) * side
    shape = np.zeros(crop.shape[:2], np.uint8)
    box = (tuple(dice.uniform(0, side, 2)), (float(long), float(thin)), float(dice.uniform(0, 180)))
    if dice.random() < 0.5:
        cv2.ellipse(shape, box, 255, -1)
    else:
        cv2.fillPoly(shape, [cv2.boxPoints(box).astype(np.int32)], 255)
    x, y = dice.integers(0, len(other) - side + 1, 2) if len(other) > side else (0, 0)
    piece = cv2.resize(other[y : y + side, x : x + side], (side, side))
    crop[shape > 0] = piece[shape > 0]
