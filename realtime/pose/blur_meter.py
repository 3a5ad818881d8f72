"""Motion blur (EDN's remark on it): tell when the source has too much of it, and make some for training.

The measure: where a hand moves, a picture differs from the one before, and nothing else differs: the room, which stays
sharp, drops out. In a short exposure that difference is as fine as the hand itself, in a long one it is smeared along
the motion. Its fineness at fast hands is divided by that at slow ones, so resolution and lens do not matter.
"""

from collections import deque

import cv2
import numpy as np

from realtime.frame import Rgb
from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import BODY, INDEX, LEFT_HAND, RIGHT_HAND

FAST, SLOW = 0.02, (0.003, 0.008)
"""Statures between two frames from which a hand counts as fast, and between which as slow."""
REACH = 0.06
"""From the middle of a hand to the edge of what is looked at, in statures."""
LEAST_CHANGE = 2.0
"""Mean difference of brightness, of 255, below which nothing but noise is seen."""
LIMIT = 0.34
"""Sharpness below which a source is blurred: 0.4 to 0.6 without blur, 0.3 at half a frame, less above (docs/log.md)."""
ADVICE = "Fast hands are smeared: the exposure is too long. Add light, or set a shorter exposure on the camera."


class BlurMeter:
    """Watches the hands of one source.

    Args:
        memory: newest hands that count.
        least: fast hands, and slow ones, it wants to see before it says anything.
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
                value = fineness(past_rgb, rgb, centre, move, round(REACH * tall_px))
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
        """The exposure is too long for these moves."""
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


def smear(rgb: Rgb, flow: Floats) -> Rgb:
    """The picture as a longer exposure sees it.

    Args:
        rgb: uint8 H W 3.
        flow: float32 H W 2, how far each place moves during the exposure, in pixels (x, y).

    Returns:
        A new picture, uint8 H W 3: the mean over the exposure, whose middle is `rgb`.
    """
    assert flow.shape == (*rgb.shape[:2], 2), f"flow {flow.shape} for a picture {rgb.shape}"
    smeared, way_px = rgb.copy(), np.linalg.norm(flow, axis=2)
    x0, y0, width, height = cv2.boundingRect((way_px > 0.25).astype(np.uint8))
    if not width:
        return smeared
    window = np.s_[y0 : y0 + height, x0 : x0 + width]
    x, y = np.meshgrid(np.arange(x0, x0 + width, dtype=np.float32), np.arange(y0, y0 + height, dtype=np.float32))
    dx, dy = np.moveaxis(flow[window], 2, 0)
    total, steps = np.zeros((height, width, 3), np.float32), int(np.ceil(way_px.max())) + 1
    for time in np.linspace(-0.5, 0.5, steps, dtype=np.float32):
        total += cv2.remap(rgb, x - time * dx, y - time * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    smeared[window] = np.round(total / steps)
    return smeared


def pose_flow(past: Pose, pose: Pose, width_px: int, height_px: int) -> Floats:
    """How the picture moves with the body from one pose to the next, float32 H W 2, pixels; 0 away from the person."""
    cell_px = 8
    limbs = [(INDEX[f"{side}_{a}"], INDEX[f"{side}_{b}"]) for side in ("left", "right") for a, b in _LIMBS]
    share = np.linspace(0, 1, 5, dtype=np.float32)[:, None]
    ends, moves = pose.xy, pose.xy - past.xy
    sure = np.minimum(pose.confidence, past.confidence) > 0.5
    lines = [(ends[a] + share * (ends[b] - ends[a]), moves[a] + share * (moves[b] - moves[a]))
             for a, b in limbs if sure[a] and sure[b]]  # fmt: skip
    hands = [(ends[h], moves[h]) for h in (LEFT_HAND, RIGHT_HAND) if sure[h.start]]
    head = [(ends[BODY][:11], moves[BODY][:11])]
    places, shifts = (np.concatenate(column) for column in zip(*lines, *hands, *head, strict=True))
    y, x = np.indices((height_px // cell_px + 1, width_px // cell_px + 1), np.float32) * cell_px
    reach_px = max(0.04 * stature_px(pose), 0.6 * cell_px)
    squared = (x[..., None] - places[:, 0]) ** 2 + (y[..., None] - places[:, 1]) ** 2
    weight = np.exp(-squared / (2 * reach_px**2))
    flow = (weight @ shifts) / (weight.sum(axis=2, keepdims=True) + 0.3)
    return np.asarray(cv2.resize(flow.astype(np.float32), (width_px, height_px)), np.float32)


_LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"),
          ("ankle", "foot_index"))  # fmt: skip
