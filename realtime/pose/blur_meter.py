"""Motion blur (EDN's remark on it): measure whether the source has too much of it.

Where a hand moves, a picture differs from the one before; the background, which stays sharp, does not and drops out.
In a short exposure that difference is as fine as the hand itself, in a long one it is smeared along the motion. Its
fineness at fast hands is divided by that at slow ones, so resolution and lens do not matter.
"""

from collections import deque

import cv2
import numpy as np

from realtime.frame import Rgb
from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import INDEX, LEFT_HAND, RIGHT_HAND

FAST, SLOW = 0.02, (0.003, 0.008)
"""Statures per frame: a hand is fast from here on, and slow between these."""
HAND_REACH = 0.06
"""Half the side of the square around a hand that is compared, in statures."""
LEAST_CHANGE = 2.0
"""Mean difference of brightness, of 255, below which it is noise."""
LIMIT = 0.34
"""Sharpness below which a source is blurred: 0.4 to 0.6 without blur, 0.3 at half a frame, less above (docs/log.md)."""
ADVICE = "Fast hands are smeared: the exposure is too long. Add light, or set a shorter exposure on the camera."


class BlurMeter:
    """Measures the motion blur of one source by its fast and slow hands.

    Args:
        memory: so many newest fast hands count, and so many slow ones.
        least: of either before there is a result.
    """

    def __init__(self, memory: int = 240, least: int = 40) -> None:
        self._fast, self._slow = deque[float](maxlen=memory), deque[float](maxlen=memory)
        self._least = least
        self._past: tuple[Rgb, Pose] | None = None

    def see(self, rgb: Rgb, pose: Pose | None) -> None:
        """Take the next frame, uint8 H W 3, and the pose seen in it, in its pixels, None for nobody."""
        before, self._past = self._past, None if pose is None else (rgb, pose)
        if pose is None or before is None or before[0].shape != rgb.shape:
            return
        past_rgb, past = before
        tall_px = stature_px(pose)
        for wrist, hand in ((INDEX["left_wrist"], LEFT_HAND), (INDEX["right_wrist"], RIGHT_HAND)):
            move = pose.xy[wrist] - past.xy[wrist]
            speed = float(np.hypot(*move)) / tall_px
            finenesses = self._fast if speed > FAST else self._slow if SLOW[0] < speed < SLOW[1] else None
            if finenesses is not None and min(pose.confidence[wrist], past.confidence[wrist]) > 0.5:
                centre = pose.xy[hand].mean(axis=0) if pose.confidence[hand.start] > 0 else pose.xy[wrist]
                value = fineness(past_rgb, rgb, centre, move, round(HAND_REACH * tall_px))
                if value is not None:
                    finenesses.append(value)

    @property
    def sharpness(self) -> float | None:
        """Fineness at fast hands, as a share of that at slow ones; None while too few of either were seen."""
        if min(len(self._fast), len(self._slow)) < self._least:
            return None
        return float(np.median(self._fast) / np.median(self._slow))

    @property
    def blurred(self) -> bool:
        """Whether the exposure is too long for these moves."""
        sharpness = self.sharpness
        return sharpness is not None and sharpness < LIMIT


def fineness(past: Rgb, rgb: Rgb, centre: Floats, direction: Floats, radius_px: int) -> float | None:
    """How fine along `direction` the change from one picture to the next is, in a square around `centre`.

    Returns:
        The energy of its gradient by its own, about 12 for noise; None where the square is not inside of the picture
        or nothing has changed.
    """
    x, y = np.round(centre).astype(int)
    r = max(4, radius_px)
    if not (r < x < rgb.shape[1] - r and r < y < rgb.shape[0] - r):
        return None
    before, now = (
        cv2.cvtColor(picture[y - r : y + r, x - r : x + r], cv2.COLOR_RGB2GRAY).astype(np.float32)
        for picture in (past, rgb)
    )
    change = now - before
    if np.abs(change).mean() < LEAST_CHANGE:
        return None
    ux, uy = direction / np.hypot(*direction)
    along = ux * cv2.Sobel(change, cv2.CV_32F, 1, 0) + uy * cv2.Sobel(change, cv2.CV_32F, 0, 1)
    return float(np.square(along).mean() / np.square(change).mean())
