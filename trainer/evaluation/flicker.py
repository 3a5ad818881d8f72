"""Temporal flicker: what of a picture's change is no movement (the warping error of Lai et al., 2018).

The past picture is moved along the optical flow onto the present one; what still differs has flickered.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.pose import Floats

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, right and bottom excluded."""
CONSISTENT_PX = 1.0
"""Where forth and back again ends farther away than this, something was covered or uncovered: not counted."""


class Movement:
    """How things moved from one picture to the next.

    Args:
        past: uint8 H W 3.
        now: the same size, one frame later.
    """

    def __init__(self, past: Rgb, now: Rgb) -> None:
        a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (past, now))
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        back, forth = (np.asarray(flow.calc(*pair, np.empty(0)), np.float32) for pair in ((b, a), (a, b)))
        y, x = np.indices(a.shape, np.float32)
        self._from = x + back[:, :, 0], y + back[:, :, 1]
        self._known: NDArray[np.bool_] = np.linalg.norm(back + self._moved(forth), axis=2) < CONSISTENT_PX

    def flicker(self, past: Rgb, now: Rgb, box: Box) -> float | None:
        """Mean absolute difference in a box, 0..255, of pictures that moved in this way; None where nothing is known.

        Args:
            past: uint8 H W 3, of the size of the pictures that the movement was seen in.
            now: the same, one frame later.
            box: what counts.
        """
        left, top, right, bottom = box
        known = self._known[top:bottom, left:right]
        if not known.any():
            return None
        change = np.abs(self._moved(past.astype(np.float32)) - now)[top:bottom, left:right]
        return float(change[known].mean())

    def _moved(self, past: Floats) -> Floats:
        moved = cv2.remap(past, *self._from, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.float32)
