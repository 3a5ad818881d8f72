"""Find and follow the hands: the hand part of MediaPipe Holistic (arXiv 2006.10214)."""

from dataclasses import dataclass
from math import hypot, pi, radians

import numpy as np

from realtime.pose.blazepose import Body
from realtime.pose.network import RegionNetwork, Rgba
from realtime.pose.region import Floats, Leash, Region, aligned, square, turn
from realtime.pose.skeleton import BODY_NAMES

_MIN_PRESENCE = 0.5
_LEASH = Leash(rotation=radians(40), shift=0.2, growth=0.4, margin=-0.1)
_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""The landmarks that do not move much when the fingers do."""


@dataclass(frozen=True, slots=True)
class Hand:
    """The 21 landmarks of a hand, from the wrist to the tip of the little finger."""

    xy: Floats
    """21 2, pixels."""
    depth: Floats
    """21, pixels, from the wrist, nearer is smaller."""
    presence: float
    """0.5..1: how sure it is that this is a hand."""


class HandTracker:
    """Follows both hands of a body; which hand is which is known from the arm it hangs on."""

    def __init__(self, threads: int) -> None:
        self._recrop = RegionNetwork("hand_recrop", ("output_crop",), threads)
        self._network = RegionNetwork("hand_landmark_full", ("Identity", "Identity_1"), threads)
        self._last: dict[str, Hand] = {}

    def reset(self) -> None:
        """Forget the hands."""
        self._last.clear()

    def track(self, rgba: Rgba, body: Body, side: str) -> Hand | None:
        """The "left" or "right" hand of a body in a picture (H W 4), None where it is not to be seen."""
        last = self._last.pop(side, None)
        proposed = self._propose(rgba, body, side)
        if proposed is None:
            return None
        region = proposed
        if last is not None:
            tracked = _around_hand(last.xy)
            if _LEASH.holds(tracked, last.xy, proposed):
                region = tracked
        landmarks, presence = self._network(rgba, region)
        if presence.item() <= _MIN_PRESENCE:
            return None
        raw = landmarks.reshape(21, 3) / np.float32(self._network.side)
        # The network's depth is in 0.4 of the crop's side.
        hand = Hand(region.to_frame(raw[:, :2]), raw[:, 2] * np.float32(region.size / 0.4), presence.item())
        self._last[side] = hand
        return hand

    def _propose(self, rgba: Rgba, body: Body, side: str) -> Region | None:
        """Where the body's landmarks, and then a small network that looks there, see the hand."""
        wrist, pinky, index = (BODY_NAMES.index(f"{side}_{name}") for name in ("wrist", "pinky", "index"))
        if body.visibility[wrist] <= 0.1:
            return None
        start, outer, inner = body.xy[[wrist, pinky, index]].tolist()
        middle = ((2 * inner[0] + outer[0]) / 3, (2 * inner[1] + outer[1]) / 3)
        box = 2 * hypot(middle[0] - start[0], middle[1] - start[1])
        rough = square(middle, box, box, turn(start, middle, pi / 2), scale=2.7, raised=0.1)
        (points,) = self._recrop(rgba, rough)
        center, tip = rough.to_frame(points.reshape(2, 2) / np.float32(self._recrop.side)).tolist()
        return aligned(center, tip, -pi / 2, raised=0.1)


def _around_hand(xy: Floats) -> Region:
    """The region of a hand from its landmarks in the picture before, around the palm: bent fingers do not matter."""
    index, middle, ring = xy[[5, 9, 13]].tolist()
    knuckles = [(i + r) / 4 + m / 2 for i, m, r in zip(index, middle, ring, strict=True)]
    rotation = turn(xy[0].tolist(), knuckles, pi / 2)
    upright = Region(0.0, 0.0, 1.0, rotation)
    palm = upright.from_frame(xy[_PALM])
    low, high = palm.min(0), palm.max(0)
    center = upright.to_frame(((low + high) / 2)[None])[0].tolist()
    width, height = (high - low).tolist()
    return square(center, width, height, rotation, scale=2.0, raised=0.1)
