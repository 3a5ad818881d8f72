"""Learn from rendered people where joints are when MediaPipe's body network sees them where it does."""

import numpy as np
from numpy.typing import NDArray

from realtime.pose.estimation.first_look import Coefficients
from trainer.refiner.augment import OTHER_SIDE
from trainer.refiner.people import Crops

_RIDGE = 1e-3
"""Weight of the coefficients' squares, in mean squares of the vectors: strangers may see otherwise."""
_ROBUST = 0.004
"""Errors beyond this size, in sizes of the region, count with their size and not with its square."""
_ROUNDS = 8


def fit(crops: Crops, rows: NDArray[np.intp]) -> Coefficients:
    """The coefficients for `corrected`, by robust least squares over crops of bodies and their mirror images."""
    rows = rows[np.isfinite(crops.seen[rows]).all(axis=(1, 2))]
    truth, visible = _complex(crops.xy[rows, 0]), crops.visibility[rows] > 0
    seen = _complex(crops.seen[rows])
    spread = np.ptp(crops.xy[rows, 0], axis=1).max(axis=1)[:, None]
    seen, truth = seen / spread, truth / spread
    seen = np.concatenate([seen, -seen[:, OTHER_SIDE].conj()])
    truth = np.concatenate([truth, -truth[:, OTHER_SIDE].conj()])
    visible = np.concatenate([visible, visible[:, OTHER_SIDE]])
    return np.stack([_fit_point(seen, truth, visible, point) for point in range(seen.shape[1])]).astype(np.complex64)


def _complex(xy: NDArray[np.float32]) -> NDArray[np.complex128]:
    return xy[..., 0].astype(np.float64) + 1j * xy[..., 1]


def _fit_point(
    seen: NDArray[np.complex128], truth: NDArray[np.complex128], visible: NDArray[np.bool_], point: int
) -> NDArray[np.complex128]:
    """One point's coefficients, P, by least squares that are weighted anew by how far off the last ones were."""
    asked = visible[:, point]
    vectors = (seen - seen[:, point, None])[asked]
    wanted = (truth - seen)[asked, point]
    ridge = _RIDGE * len(wanted) * np.eye(seen.shape[1])
    weight = np.ones(len(wanted))
    found: NDArray[np.complex128] = np.zeros(seen.shape[1], np.complex128)
    for _ in range(_ROUNDS):
        weighted = vectors.conj().T * weight
        found = np.asarray(np.linalg.solve(weighted @ vectors + ridge, weighted @ wanted), np.complex128)
        weight = _ROBUST / np.maximum(np.abs(wanted - vectors @ found), _ROBUST)
    return found
