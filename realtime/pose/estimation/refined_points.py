"""What the refiners see and say: their keypoints, where these are taken from, and how positions go in and come out.

A refiner sees the crop of a region (S S 3, uint8) and a prior: where the points were, or where another network saw
them, as one map per point on a grid of S / 4. It says for every point where it is, how sure that is, and for the whole
crop whether there is such a part in it. Positions run from 0 to 1 within the region. Shared with the trainer.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realtime.pose.pose import Floats

STRIDE = 4
"""Pixels of the crop along a cell of the grid."""
_PRIOR_SPREAD = 1.5
"""Standard deviation of a point in its prior map, cells."""
_SIDES = ("left", "right")

BODY_POINTS = (
    "nose",
    *(f"{side}_{name}" for name in ("eye", "ear", "shoulder", "elbow", "wrist", "index", "pinky",
                                    "hip", "knee", "ankle", "foot_index") for side in _SIDES),
)  # fmt: skip
"""Of a body; the names are `skeleton.BODY_NAMES`'."""
BODY_SIDE_PX, HAND_SIDE_PX = 160, 96
BODY_AROUND, HAND_AROUND = 1.3, 1.5
"""Side of the region that is seen, in sides of the box around the points."""
HAND_POINTS = 21
"""Of a left hand, in the order of `skeleton`; a right hand's crop is mirrored."""


@dataclass(frozen=True, slots=True)
class Refined:
    """P points of a region, in the region's own units (its sides are 1 long) or in the picture's pixels."""

    xy: Floats
    """P 2."""
    deviation: Floats
    """P: the absolute error to expect of either coordinate, in the same units."""
    presence: float
    """0..1: how sure it is that the region shows such a part."""


def prior_maps(xy: Floats, known: NDArray[np.bool_], grid: int) -> Floats:
    """P grid grid, 0..1: a bell around each of P points (0..1 within the region); nothing for those not known."""
    cells = np.arange(grid, dtype=np.float32) + np.float32(0.5)
    away = (cells - xy[:, :, None] * np.float32(grid)) / np.float32(_PRIOR_SPREAD)  # P 2 grid
    bell = np.exp(np.float32(-0.5) * away * away)
    bell[~known] = 0
    maps: Floats = bell[:, 1, :, None] * bell[:, 0, None, :]
    return maps


def decode(output: Floats) -> Refined:
    """Read a refiner's output, 2P + 1 grid grid: logits of places, logarithms of deviations, presence.

    Returns:
        The points in the region's own units.
    """
    count, grid = (len(output) - 1) // 2, output.shape[1]
    flat = output.reshape(len(output), -1)
    weight = np.exp(flat[:count] - flat[:count].max(axis=1, keepdims=True))
    x_y_1 = weight @ _cells(grid)
    logarithm = np.einsum("pi,pi->p", weight, flat[count:-1]) / x_y_1[:, 2]
    return Refined(x_y_1[:, :2] / x_y_1[:, 2:], np.exp(logarithm), float(1 / (1 + np.exp(-flat[-1].mean()))))


@lru_cache
def _cells(grid: int) -> Floats:
    """x, y and 1 of every cell, row by row: one product with weights sums all three."""
    along = (np.arange(grid, dtype=np.float32) + np.float32(0.5)) / np.float32(grid)
    y, x = np.meshgrid(along, along, indexing="ij")
    return np.stack([x.ravel(), y.ravel(), np.ones(grid * grid, np.float32)], axis=1)


def share_of_trust(values: Floats, all_below: float, none_from: float) -> Floats:
    """How far to believe points: 1 for values up to the one, 0 from the other on, and a slope between."""
    return np.asarray(((none_from - values) / (none_from - all_below)).clip(0, 1), np.float32)
