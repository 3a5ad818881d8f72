"""The badge in every picture: whoever sees it, or a piece of it, knows that nobody was filmed."""

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb

TEXT = "AI-generated"
HEIGHT = 1 / 24
"""Of the badge, by the picture's height."""
LEAST_PX = 14
FONT, FINER = cv2.FONT_HERSHEY_DUPLEX, 4
"""It is drawn so many times as large and made smaller, which is what makes it smooth."""
DARK, LIGHT = 16, 235
OPACITY = 0.6
"""Of the ground under the text."""


class Badge:
    """Burns the badge into pictures, at their lower left corner. Belongs to one thread."""

    def __init__(self) -> None:
        self._height_px = 0
        self._share: NDArray[np.float32] = np.zeros((0, 0, 1), np.float32)
        self._paint: NDArray[np.float32] = np.zeros((0, 0, 1), np.float32)

    def burn(self, rgb: Rgb) -> Rgb:
        """A new picture, uint8 [H, W, 3], that carries the badge; a picture too small for it carries a part."""
        if rgb.shape[0] != self._height_px:
            self._height_px = rgb.shape[0]
            self._share, self._paint = _draw(max(LEAST_PX, round(rgb.shape[0] * HEIGHT)))
        burnt, margin_px = rgb.copy(), self._share.shape[0] // 2
        corner = burnt[::-1][margin_px:, margin_px:][: self._share.shape[0], : self._share.shape[1]]
        height, width, _ = corner.shape
        share, paint = self._share[::-1][:height, :width], self._paint[::-1][:height, :width]
        corner[...] = np.round(corner * (1 - share) + paint * share)
        return burnt


def _draw(height_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much of the badge is seen, 0..1, and its grey: two float32 [h, w, 1]."""
    fine_px, scale = height_px * FINER, height_px * FINER / 42
    (text_px, tall_px), _ = cv2.getTextSize(TEXT, FONT, scale, 2)
    ground = np.zeros((fine_px, text_px + fine_px), np.uint8)
    end_px, middle_px = ground.shape[1] - fine_px // 2, fine_px // 2
    cv2.line(ground, (middle_px, middle_px), (end_px, middle_px), 255, fine_px - 2 * FINER, cv2.LINE_AA)
    text = np.zeros_like(ground)
    thick_px = max(1, round(fine_px / 24))
    cv2.putText(text, TEXT, (middle_px, (fine_px + tall_px) // 2), FONT, scale, 255, thick_px, cv2.LINE_AA)
    size_px = ground.shape[1] // FINER, height_px
    seen, white = (cv2.resize(each, size_px, interpolation=cv2.INTER_AREA)[:, :, None] / 255 for each in (ground, text))
    share = np.maximum(OPACITY * seen, white).astype(np.float32)
    return share, np.asarray(DARK + (LIGHT - DARK) * white, np.float32)
