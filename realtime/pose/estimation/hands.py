"""Find and follow the hands: the hand part of MediaPipe Holistic (arXiv 2006.10214)."""

from dataclasses import dataclass, field, replace
from math import hypot, pi, radians
from typing import Literal

import numpy as np

from realtime.pose.estimation.blazepose import Body
from realtime.pose.estimation.region import Leash, Region, RegionNetwork, Rgba, aligned, square, turn
from realtime.pose.pose import Floats
from realtime.pose.skeleton import BODY_NAMES

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")

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
    deviation: Floats = field(default_factory=lambda: np.full(21, np.nan, np.float32))
    """21, pixels: the error to expect of either coordinate; not-a-number where nobody says."""


class HandFinder:
    """Finds a hand where an arm ends, or where it was.

    Args:
        threads: cores that one run may use.
    """

    def __init__(self, threads: int) -> None:
        self._recrop = RegionNetwork("hand_recrop", ("output_crop",), threads)
        self._network = RegionNetwork("hand_landmark_full", ("Identity", "Identity_1"), threads, precision="bf16")

    def find(self, rgba: Rgba, body: Body, side: Side, last: Hand | None) -> Hand | None:
        """A hand of a body in a picture (H W 4), `last` being where it was; None if it is not to be seen."""
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
        return Hand(region.to_frame(raw[:, :2]), raw[:, 2] * np.float32(region.size / 0.4), presence.item())

    def _propose(self, rgba: Rgba, body: Body, side: Side) -> Region | None:
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


class HandTracker:
    """Follows both hands of a body; which hand is which is known from the arm it hangs on.

    Args:
        threads: cores that one run may use.
    """

    def __init__(self, threads: int) -> None:
        self._finder = HandFinder(threads)
        self.look_every = 1
        """Each hand is looked at once in so many pictures, the two in turns; it goes along with its arm meanwhile. May
        be changed from any thread."""
        self.reset()

    def reset(self) -> None:
        """Forget the hands."""
        self._last: dict[Side, tuple[Hand, Floats]] = {}
        self._pictures = 0

    def track(self, rgba: Rgba, body: Body) -> dict[Side, Hand]:
        """The hands of a body that are to be seen in a picture (H W 4)."""
        hands, every = {}, self.look_every
        turns: dict[Side, int] = {"left": 0, "right": every // 2}
        for side in SIDES:
            if self._pictures % every == turns[side]:
                last = self._last[side][0] if side in self._last else None
                hand = self._finder.find(rgba, body, side, last)
            else:
                hand = self._predict(body, side)
            if hand is not None:
                hands[side] = hand
        self._last = {side: (hand, _forearm(body, side)) for side, hand in hands.items()}
        self._pictures += 1
        return hands

    def _predict(self, body: Body, side: Side) -> Hand | None:
        """The hand as it was, moved and turned along with the forearm."""
        if side not in self._last:
            return None
        hand, arm = self._last[side]
        return replace(hand, xy=_beyond(_forearm(body, side)).to_frame(_beyond(arm).from_frame(hand.xy)))


def _forearm(body: Body, side: Side) -> Floats:
    """Elbow and wrist, 2 2, pixels."""
    arm: Floats = body.xy[[BODY_NAMES.index(f"{side}_elbow"), BODY_NAMES.index(f"{side}_wrist")]]
    return arm


def _beyond(arm: Floats) -> Region:
    """The region of one pixel at the wrist of an arm (elbow and wrist), with the forearm pointing up."""
    elbow, wrist = arm.tolist()
    return Region(wrist[0], wrist[1], 1.0, turn(elbow, wrist, pi / 2))


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
