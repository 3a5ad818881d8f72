"""Follow both hands with a refiner: in every frame, and MediaPipe's hand network looks in turns."""

import numpy as np

from realtime.pose.estimation.blazepose import Body
from realtime.pose.estimation.first_look import FirstLook
from realtime.pose.estimation.hands import SIDES, Hand, HandFinder, Side
from realtime.pose.estimation.refined_points import HAND_AROUND, HAND_POINTS, share_of_trust
from realtime.pose.estimation.refiner import Refiner
from realtime.pose.estimation.region import Region, Rgba, square, turn
from realtime.pose.pose import Floats
from realtime.pose.skeleton import BODY_NAMES

_HAND_PER_FOREARM = 1.15
"""A hand's box, in lengths of the longer forearm that is seen: where only the arm knows of the hand."""
_LEAST_PRESENCE = 0.5
_DEVIATION = 0.03, 0.08
"""Deviations, in sizes of the region: up to the one a point is believed, from the other on it is not."""
_LEASH = 0.7
"""How far the wrists of hand and arm may lie apart, in sizes of the hand; else it is no longer this arm's."""
_KNUCKLES = [5, 9, 17]
_FROM_BODY = {0: "wrist", 5: "index", 17: "pinky"}
"""Points of a hand that the body has, too."""


class RefinedHandTracker:
    """Follows both hands of a body; which hand is which is known from the arm it hangs on.

    Args:
        threads: cores that one run may use.
    """

    def __init__(self, threads: int) -> None:
        self.look_every = 1
        """1, or 3 and more; may be changed from any thread. MediaPipe's network looks at a hand once in twice so many
        pictures, at the other one in between, and never when it is the turn of the body, which has the same number; at
        a hand that is lost, in every other picture. 1: at both in every one."""
        self._finder = HandFinder(threads)
        self._first_look = FirstLook()
        self._refiner = Refiner("hand_refiner", threads)
        self.reset()

    def reset(self) -> None:
        """Forget the hands."""
        self._last: dict[Side, tuple[Hand, Floats]] = {}
        self._pictures = 0

    def track(self, rgba: Rgba, body: Body) -> dict[Side, Hand]:
        """The hands of a body that are to be seen in a picture (H W 4)."""
        hands = {side: hand for side in SIDES if (hand := self._track(rgba, body, side)) is not None}
        self._last = {side: (hand, _wrist(body, side)) for side, hand in hands.items()}
        self._pictures += 1
        return hands

    def _has_turn(self, side: Side, *, found: bool) -> bool:
        """Whether MediaPipe's network looks at a hand now: one that is not found may ask in every other picture."""
        look_every = self.look_every
        if look_every == 1:
            return True
        if not found:
            return self._pictures % 2 == SIDES.index(side)
        round_, turn = divmod(self._pictures, look_every)
        return turn == 1 + SIDES.index(side) and round_ % 2 == SIDES.index(side)

    def _track(self, rgba: Rgba, body: Body, side: Side) -> Hand | None:
        expected = self._expected(body, side)
        looks = self._has_turn(side, found=expected is not None)
        seen = self._find(rgba, body, side, expected) if looks else None
        hand = self._refine(rgba, seen or expected, side)
        if hand is None and expected is not None and not looks and self._has_turn(side, found=False):
            seen = self._find(rgba, body, side, None)
            hand = self._refine(rgba, seen, side)
        return hand or seen or self._from_arm(rgba, body, side)

    def _find(self, rgba: Rgba, body: Body, side: Side, expected: Hand | None) -> Hand | None:
        """A hand as MediaPipe's networks see it."""
        return self._finder.find(rgba, self._first_look.as_seen(body), side, expected)

    def _refine(self, rgba: Rgba, hand: Hand | None, side: Side) -> Hand | None:
        """The hand with truer points; None if the refiner sees none there."""
        if hand is None:
            return None
        region = hand_region(hand.xy)
        refined = self._refiner(rgba, region, hand.xy, np.ones(HAND_POINTS, np.bool_), mirrored=side == "right")
        if refined.presence < _LEAST_PRESENCE:
            return None
        trust = share_of_trust(refined.deviation / np.float32(region.size), *_DEVIATION)
        xy = hand.xy + trust[:, None] * (refined.xy - hand.xy)
        return Hand(xy.astype(np.float32), hand.depth, refined.presence, refined.deviation)

    def _expected(self, body: Body, side: Side) -> Hand | None:
        """The hand as it was, moved on with the wrist."""
        if side not in self._last:
            return None
        hand, wrist = self._last[side]
        if np.linalg.norm(hand.xy[0] - wrist) > _LEASH * np.ptp(hand.xy, axis=0).max():
            return None
        return Hand(hand.xy + (_wrist(body, side) - wrist), hand.depth, hand.presence)

    def _from_arm(self, rgba: Rgba, body: Body, side: Side) -> Hand | None:
        """The hand where the arm ends, if the refiner is sure that there is one."""
        rows = [BODY_NAMES.index(f"{side}_{name}") for name in _FROM_BODY.values()]
        if body.visibility[rows[0]] <= 0.1:
            return None
        points = np.zeros((HAND_POINTS, 2), np.float32)
        points[[*_FROM_BODY]] = body.xy[rows]
        known = np.isin(np.arange(HAND_POINTS), [*_FROM_BODY])
        region = _beyond_wrist(body, points)
        refined = self._refiner(rgba, region, points, known, mirrored=side == "right")
        if refined.presence < _LEAST_PRESENCE or np.median(refined.deviation) > _DEVIATION[0] * region.size:
            return None
        return Hand(refined.xy, np.zeros(HAND_POINTS, np.float32), refined.presence, refined.deviation)


def _wrist(body: Body, side: Side) -> Floats:
    wrist: Floats = body.xy[BODY_NAMES.index(f"{side}_wrist")]
    return wrist


def hand_region(xy: Floats, scale: float = HAND_AROUND) -> Region:
    """The square around the 21 points of a hand (21 2, pixels), `scale` as large, turned so that the palm points up."""
    rotation = turn(xy[0].tolist(), xy[_KNUCKLES].mean(axis=0).tolist(), np.pi / 2)
    upright = Region(0.0, 0.0, 1.0, rotation)
    own = upright.from_frame(xy)
    low, high = own.min(axis=0), own.max(axis=0)
    width, height = (high - low).tolist()
    return square(upright.to_frame(((low + high) / 2)[None])[0].tolist(), width, height, rotation, scale=scale)


def _beyond_wrist(body: Body, points: Floats) -> Region:
    """The region of a hand of which the arm alone knows."""
    forearms = [np.linalg.norm(body.xy[BODY_NAMES.index(f"{side}_elbow")] - _wrist(body, side)) for side in SIDES]
    side_px = float(max(forearms)) * _HAND_PER_FOREARM
    knuckles = points[[5, 17]].mean(axis=0)
    rotation = turn(points[0].tolist(), knuckles.tolist(), np.pi / 2)
    return Region(float(knuckles[0]), float(knuckles[1]), max(side_px, 1.0), rotation)
