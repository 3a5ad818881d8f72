"""Fill in missed keypoints: they stay on the body for a moment, then fade; so does a person (EDN: missed keypoints).

A missed keypoint keeps its place relative to the joint that carries it, and a hand also turns with its forearm. Going
on with its last velocity was measured and is worse (docs/log.md).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import BODY, FACE, INDEX, LEFT_HAND, RIGHT_HAND, K

PAUSE_S = 1.0
"""A longer time between two frames is a pause: nothing is carried over it."""


@dataclass(frozen=True, kw_only=True)
class FillConfig:
    """How long what is missed stays. A figure is drawn in full down to a confidence of 0.5, not at all below 0.1."""

    fade_s: float = 0.3
    """A missed keypoint's confidence falls from 1 to 0 in this time: it is drawn in full for half of it."""
    rise_s: float = 0.15
    """Confidence grows from 0 to 1 in this time: what is seen in one frame only hardly shows."""
    lost_s: float = 0.8
    """Without a person for this long there is nobody; until then the last pose stays, and fades like a keypoint."""

    def __post_init__(self) -> None:
        for name in ("fade_s", "rise_s", "lost_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {getattr(self, name)}")


class Filler:
    """Fills in the missed keypoints of one person, from the last ones that were seen."""

    def __init__(self, config: FillConfig = FillConfig()) -> None:
        self._config = config
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next pose is believed at once."""
        self._past: Pose | None = None
        self._at_s: float | None = None
        self._seen_at_s = 0.0

    def fill(self, seen: Pose | None, at_s: float) -> Pose | None:
        """Complete what was seen at `at_s` seconds from what was seen before.

        Args:
            seen: a pose in which keypoints may be missing (confidence 0, wherever they claim to be); None: nobody.
            at_s: when, in seconds; later than the call before.

        Returns:
            The pose with every keypoint on the body and confidences that change no faster than the config says.
            None when there is nobody, and has not been for `lost_s`.
        """
        elapsed_s = 0.0 if self._at_s is None else at_s - self._at_s
        if not 0 < elapsed_s <= PAUSE_S:
            self.reset()
        past, first, self._at_s = self._past, self._at_s is None, at_s
        if seen is not None:
            self._seen_at_s = at_s
            confidence = seen.confidence
            if not first:
                known = past.confidence if past else np.zeros(K, np.float32)
                fall, rise = elapsed_s / self._config.fade_s, elapsed_s / self._config.rise_s
                confidence = confidence.clip(known - np.float32(fall), known + np.float32(rise))
            xy, depth = _complete(seen, past)
            self._past = Pose(xy, depth, confidence, seen.deviation)
        elif past is not None and at_s - self._seen_at_s < self._config.lost_s:
            faded = (past.confidence - np.float32(elapsed_s / self._config.lost_s)).clip(0)
            self._past = Pose(past.xy, past.depth, faded)
        else:
            self._past = None
        return self._past


def _complete(seen: Pose, past: Pose | None) -> tuple[Floats, Floats]:
    """xy and depth of a pose with its missing keypoints moved along with their carriers; unknown ones lie on theirs."""
    missing = seen.confidence <= 0
    if not missing.any():
        return seen.xy, seen.depth
    xy = seen.xy.copy()
    depth = np.where(missing, past.depth if past else np.float32(0), seen.depth)
    if missing[_ROOT]:  # nothing carries the root: it moves as the rest of the body does on average
        body = ~missing[BODY]
        anchor = (xy - past.xy if past else xy)[BODY][body]
        xy[_ROOT] = (past.xy[_ROOT] if past else 0) + (anchor.mean(axis=0) if len(anchor) else 0)
    for level in _LEVELS:  # from the root outwards, so that every carrier is placed before what it carries
        lost = level[missing[level]]
        carrier = _CARRIER[lost]
        xy[lost] = xy[carrier] + (past.xy[lost] - past.xy[carrier] if past else 0)
    if past is not None:
        for hand, wrist, elbow in _FOREARMS:
            lost = hand[missing[hand]]
            if len(lost):
                turn = _turn(past.xy[wrist] - past.xy[elbow], xy[wrist] - xy[elbow])
                xy[lost] = xy[wrist] + (past.xy[lost] - past.xy[wrist]) @ turn
    return xy, depth


def _turn(before: Floats, after: Floats) -> Floats:
    """The 2 2 matrix (for rows) that turns `before` towards `after`; the identity where one is foreshortened."""
    shorter, longer = sorted((float(np.hypot(*before)), float(np.hypot(*after))))
    if shorter < 0.4 * longer or shorter < 1:
        return np.eye(2, dtype=np.float32)
    angle = np.arctan2(after[1], after[0]) - np.arctan2(before[1], before[0])
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]], np.float32)


def _carriers() -> NDArray[np.intp]:
    """For each keypoint the one that carries it; the nose carries the head and the shoulders, and itself."""
    carrier = np.full(K, INDEX["nose"])
    chains = (
        ("shoulder", "hip", "knee", "ankle", "heel"), ("ankle", "foot_index"), ("shoulder", "elbow", "wrist"),
        ("wrist", "pinky"), ("wrist", "index"), ("wrist", "thumb"),
    )  # fmt: skip
    for side, hand in (("left", LEFT_HAND), ("right", RIGHT_HAND)):
        for chain in chains:
            for above, below in pairwise(chain):
                carrier[INDEX[f"{side}_{below}"]] = INDEX[f"{side}_{above}"]
        carrier[hand] = INDEX[f"{side}_wrist"]
    carrier[FACE] = INDEX["nose"]
    return carrier


def _levels(carrier: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Keypoints in groups, so that each one's carrier is in a group before."""
    depth = np.zeros(K, np.intp)
    hops = np.arange(K)
    while (hops != _ROOT).any():
        depth += hops != _ROOT
        hops = carrier[hops]
    return [np.flatnonzero(depth == level) for level in range(1, depth.max() + 1)]


_ROOT = INDEX["nose"]
_CARRIER = _carriers()
_LEVELS = _levels(_CARRIER)
_FOREARMS = tuple(
    (np.arange(hand.start, hand.stop), INDEX[f"{side}_wrist"], INDEX[f"{side}_elbow"])
    for side, hand in (("left", LEFT_HAND), ("right", RIGHT_HAND))
)
