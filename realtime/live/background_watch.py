"""Notices an engine that computes finite garbage by the background that is missing."""

import cv2
import numpy as np

from realtime.frame import Rgb

STEP_PX = 8
"""One pixel in so many, each way, is looked at."""
UNLIKE_LEVELS = 4
"""A pixel that differs from the empty background by more, of 255, is not background."""
LEAST_BACKGROUND = 0.4
"""Share of a picture that is background however near the person comes. Of good pictures of alice four fifths are; of
noise in all that her generator puts out, shares of background among it, 35 %."""


class BackgroundWatch:
    """Watches the background of pictures with somebody in them.

    Only where a picture had the background others can lose it: those of generators that were never taught it are left
    alone, and so are all where there is none to compare with, because the camera moved.

    Args:
        plate: uint8 [H, W, 3], the empty background.
    """

    def __init__(self, plate: Rgb) -> None:
        self._plate = plate[::STEP_PX, ::STEP_PX].copy()
        self.expected = False
        """Whether a picture had the background."""

    def sees(self, picture: Rgb) -> bool:
        """Whether a picture with somebody in it, uint8 [H, W, 3], has the background."""
        unlike = cv2.absdiff(picture[::STEP_PX, ::STEP_PX].copy(), self._plate).max(axis=2) > UNLIKE_LEVELS
        there = bool(unlike.mean() <= 1 - LEAST_BACKGROUND)
        self.expected |= there and bool(np.ptp(self._plate))
        return there
