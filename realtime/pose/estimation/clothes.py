"""By what one tells people apart from far: the colours of what they wear."""

from dataclasses import dataclass
from math import pi

import cv2
import numpy as np

from realtime.pose.estimation.region import Floats, Point, aligned
from realtime.pose.estimation.region_network import Rgba

_SIDE = 24
_STRIP = slice(_SIDE // 4, -_SIDE // 4)
"""Half as wide as it is high: beyond that there may be arms, or the room."""
_BINS = 16
_GREY, _CHROMA_STEP = 128, 6
"""Of 8 bit Lab; colours beyond the outermost bin count into it."""


@dataclass(frozen=True, slots=True)
class Clothes:
    """How common each colour is between the middle of the hips and that of the shoulders."""

    chroma: Floats
    """16 16, shares of Lab's a and b; their sum is 1."""
    lightness: Floats
    """16, shares of Lab's L; their sum is 1."""

    def likeness(self, other: "Clothes") -> float:
        """0..1, the product of both Bhattacharyya coefficients.

        In the project's footage 0.6 to 1 for one person in all poses and turns, at most 0.4 for two people.
        """
        return float(np.sqrt(self.chroma * other.chroma).sum() * np.sqrt(self.lightness * other.lightness).sum())

    def towards(self, other: "Clothes", share: float) -> "Clothes":
        """A mixture with `share` of the other."""
        mix = np.float32(share)
        return Clothes(
            self.chroma + mix * (other.chroma - self.chroma),
            self.lightness + mix * (other.lightness - self.lightness),
        )


def clothes(rgba: Rgba, hips: Point, shoulders: Point) -> Clothes:
    """Look at the clothes of somebody in a picture (H W 4) whose hips and shoulders have these middles (pixels)."""
    middle = ((hips[0] + shoulders[0]) / 2, (hips[1] + shoulders[1]) / 2)
    crop = cv2.warpAffine(
        rgba,
        aligned(middle, shoulders, pi / 2, scale=0.9).crop_matrix(_SIDE),
        (_SIDE, _SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    lab = cv2.cvtColor(crop[:, :, :3], cv2.COLOR_RGB2LAB)[:, _STRIP].reshape(-1, 3).astype(np.int64)
    a, b = ((lab[:, 1:].T - _GREY) // _CHROMA_STEP + _BINS // 2).clip(0, _BINS - 1)
    chroma = np.bincount(a * _BINS + b, minlength=_BINS * _BINS).reshape(_BINS, _BINS)
    lightness = np.bincount(lab[:, 0] * _BINS // 256, minlength=_BINS)
    return Clothes(_soft(chroma), _soft(lightness[None])[0])


def _soft(counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Floats:
    """Shares, spread a little over the neighbouring bins, so that a change of the light does not make a stranger."""
    spread = cv2.GaussianBlur(counts.astype(np.float32), (3, 3), 0)
    return np.asarray(spread / spread.sum(), np.float32)
