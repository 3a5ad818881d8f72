"""Which views, moves and places of the body are in the footage, and for how long. Lengths are in statures."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime.pose.measure import ankle_line_px, middle, stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.quality import joint_track
from realtime.pose.skeleton import INDEX

FRONTAL = 0.168
"""Distance between the shoulders in the picture above which the person is seen from the front or from behind. Against
alice's exact turn this and the side of the nose are right in 97.2 % of the frames (docs/log.md)."""
ALIKE_S = 0.2
"""Seconds between the poses that `novelty` compares; nearer ones are nearly the same."""


class Move(msgspec.Struct, frozen=True):
    """A view or a move that should be in the footage, and for how long."""

    name: str
    """E.g. "seen from behind"."""
    seen_s: float
    wanted_s: float
    """By experience: some hundred pictures."""
    advice: str
    """What to do where there is too little of it."""

    @property
    def missing_s(self) -> float:
        """How much more is wanted."""
        return max(0.0, self.wanted_s - self.seen_s)


def facing(pose: Pose) -> str:
    """Which side of the person the camera sees: front, left, right (their own) or back."""
    wide = float(pose.xy[INDEX["left_shoulder"], 0] - pose.xy[INDEX["right_shoulder"], 0]) / stature_px(pose)
    if abs(wide) > FRONTAL:
        return "front" if wide > 0 else "back"
    # Whoever looks to the right of the picture shows their right side.
    return "right" if pose.xy[INDEX["nose"], 0] > middle(pose, "shoulder")[0] else "left"


def hand_raised(pose: Pose) -> bool:
    """A wrist is above the head's middle."""
    return float(_both(pose, "wrist")[:, 1].min()) < pose.at("nose")[1] - 0.05 * stature_px(pose)


def arm_wide(pose: Pose) -> bool:
    """A wrist is far out to the side."""
    return bool(np.abs(_both(pose, "wrist")[:, 0] - middle(pose, "shoulder")[0]).max() > 0.35 * stature_px(pose))


def foot_lifted(pose: Pose) -> bool:
    """One ankle is well above the other."""
    return bool(np.ptp(_both(pose, "ankle")[:, 1]) > 0.1 * stature_px(pose))


def hip_height(pose: Pose) -> float:
    """Of the hips above the ankle line; about 0.5 when standing."""
    return (ankle_line_px(pose) - float(middle(pose, "hip")[1])) / stature_px(pose)


def crouched(pose: Pose) -> bool:
    """The hips are well below where they are when standing."""
    return hip_height(pose) < 0.43


_MOVES: Mapping[str, tuple[Callable[[Pose], bool], float, str]] = {
    "seen from the front": (lambda pose: facing(pose) == "front", 60, "Dance towards the camera for longer"),
    "seen from the left": (lambda pose: facing(pose) == "left", 20, "Turn around more"),
    "seen from the right": (lambda pose: facing(pose) == "right", 20, "Turn around more"),
    "seen from behind": (lambda pose: facing(pose) == "back", 15, "Turn around more"),
    "a hand over the head": (hand_raised, 10, "Raise your hands over the head more often"),
    "an arm stretched out": (arm_wide, 10, "Stretch your arms out to the sides more often"),
    "a foot lifted": (foot_lifted, 8, "Lift your feet and kick more often"),
    "crouched": (crouched, 4, "Bend your knees and crouch more often"),
}
LEAST_DEPTH, LEAST_REACH = 1.2, 0.3
"""Wanted: stature when nearest by stature when farthest, and statures to either side."""


def covered(poses: Sequence[Pose], fps: float) -> list[Move]:
    """Each wanted view and move with the time it is seen for."""
    return [
        Move(name, round(sum(map(holds, poses)) / fps, 1), wanted_s, advice)
        for name, (holds, wanted_s, advice) in _MOVES.items()
    ]


def shape(poses: Sequence[Pose]) -> Floats:
    """Joints relative to the hips, in statures, N J 2: the poses without place and size."""
    hips = np.stack([middle(pose, "hip") for pose in poses])[:, None]
    tall = np.array([stature_px(pose) for pose in poses], np.float32)[:, None, None]
    return (joint_track(poses, least_confidence=0.0) - hips) / tall


def novelty(learnt: Sequence[Pose], held_out: Sequence[Pose], fps: float) -> float | None:
    """How unlike the trained poses the held-out ones are, in statures; None where either are missing.

    The median, over held-out poses, of the mean distance of the joints to those of the nearest trained pose: 0.022 in
    five minutes of dancing, 0.037 in half a minute of it.
    """
    every = max(1, round(ALIKE_S * fps))
    known, new = learnt[::every], held_out[::every]
    if not known or not new:
        return None
    there = shape(known)
    nearest: NDArray[np.float32] = np.array(
        [np.linalg.norm(there - one, axis=2).mean(axis=1).min() for one in shape(new)], np.float32
    )
    return float(np.median(nearest))


def _both(pose: Pose, joint: str) -> Floats:
    return pose.xy[[INDEX[f"left_{joint}"], INDEX[f"right_{joint}"]]]
