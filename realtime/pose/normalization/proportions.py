"""Limb lengths, and a performer's pose fitted to the target's: so a tall performer drives a short target."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
import numpy as np

from realtime.pose.measure import middle, stature_px
from realtime.pose.normalization.motion_range import MEASURED_CONFIDENCE, MEMORY_S
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import BODY_NAMES, FACE, INDEX, LEFT_HAND, RIGHT_HAND, K

LENGTHS_STEP_S = 0.5
"""Time from one measurement of the lengths to the next."""
PROPORTIONS_PRIOR_S = 5.0
"""Seconds of observation that weigh as much as the prior that everybody is built like the target."""
LIMB_DRIFT_PER_S = 0.03
"""Fastest that a keypoint moves because a proportion's estimate does, in statures per second."""
EXTENDED = 0.8
"""Quantile of the lengths seen that counts as a bone's own: most of the time it is foreshortened."""
MOST = 1.4
"""Largest ratio that is believed, and its inverse the smallest."""

SHORTEST = 1e-4
"""Of a bone, in statures. (Not 0: "more than that" is a denormal number, which engines have the CPU take for 0.)"""

Bone = Annotated[float, msgspec.Meta(ge=SHORTEST, le=10)]


class Proportions(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Lengths of the bones in statures (nose to ankle along the bones), left and right alike."""

    torso: Bone
    """Hips to shoulders."""
    neck: Bone
    """Shoulders to ears."""
    head: Bone
    """Eyes to mouth."""
    shoulders: Bone
    hips: Bone
    """From left to right."""
    upper_arm: Bone
    forearm: Bone
    hand: Bone
    """Wrist to the knuckles."""
    thigh: Bone
    shin: Bone
    foot: Bone
    """Ankle to toes."""


_SIDES = ("left", "right")
_LIMBS = {
    "upper_arm": ("shoulder", "elbow"), "forearm": ("elbow", "wrist"), "hand": ("wrist", "index"),
    "thigh": ("hip", "knee"), "shin": ("knee", "ankle"), "foot": ("ankle", "foot_index"),
}  # fmt: skip
_HEAD = [*range(BODY_NAMES.index("left_shoulder")), *range(FACE.start, FACE.stop)]
_ENDS = {
    "shoulders": ("left_shoulder", "right_shoulder"),
    "hips": ("left_hip", "right_hip"),
} | {f"{side} {bone}": (f"{side}_{a}", f"{side}_{b}") for bone, (a, b) in _LIMBS.items() for side in _SIDES}
_FROM, _TO = (np.array([INDEX[ends[i]] for ends in _ENDS.values()]) for i in (0, 1))
_NAMES = Proportions.__struct_fields__


def lengths(pose: Pose) -> Floats:
    """The bones in one picture, in statures, in the order of `Proportions`; not-a-number where unsure."""
    bones = np.linalg.norm(pose.xy[_TO] - pose.xy[_FROM], axis=1)
    bones[np.minimum(pose.confidence[_FROM], pose.confidence[_TO]) < MEASURED_CONFIDENCE] = np.nan
    hips, shoulders, ears = (middle(pose, joint) for joint in ("hip", "shoulder", "ear"))
    eyes, mouth = middle(pose, "eye"), (pose.xy[INDEX["mouth_left"]] + pose.xy[INDEX["mouth_right"]]) / 2
    found = {name: np.fmax(bones[2 + 2 * i], bones[3 + 2 * i]) for i, name in enumerate(_LIMBS)}
    found |= {"shoulders": bones[0], "hips": bones[1]}
    found |= {"torso": _distance(hips, shoulders), "neck": _distance(shoulders, ears), "head": _distance(eyes, mouth)}
    return np.array([found[name] for name in _NAMES], np.float32) / np.float32(stature_px(pose))


def measure_proportions(observed: Iterable[Floats]) -> Proportions | None:
    """The proportions that `lengths` of many poses show; None while a bone was never seen, or as a point only."""
    ordered = np.sort(np.stack(list(observed)), axis=0)  # not-a-number comes last
    counts = np.isfinite(ordered).sum(axis=0)
    if not counts.all():
        return None
    own = ordered[(EXTENDED * (counts - 1)).round().astype(int), np.arange(len(_NAMES))]
    if own.min() < SHORTEST:
        return None
    return Proportions(**dict(zip(_NAMES, own.tolist(), strict=True)))


def fit_limbs(xy: Floats, ratios: dict[str, float]) -> Floats:
    """Lengthen every bone by its ratio, from the hips outwards; directions and the hips' middle stay.

    Args:
        xy: K D; linear in it, so that the identity gives the matrix that does the same.
        ratios: by the names of `Proportions`.
    """
    out = xy.copy()

    def mid(joint: str) -> Floats:
        return np.asarray((xy[INDEX[f"left_{joint}"]] + xy[INDEX[f"right_{joint}"]]) / 2)

    hips, shoulders, ears = mid("hip"), mid("shoulder"), mid("ear")
    new_shoulders = hips + ratios["torso"] * (shoulders - hips)
    new_ears = new_shoulders + ratios["neck"] * (ears - shoulders)
    out[_HEAD] = new_ears + ratios["head"] * (xy[_HEAD] - ears)
    for side, hand in zip(_SIDES, (LEFT_HAND, RIGHT_HAND), strict=True):
        at = {joint: INDEX[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")}
        out[at["shoulder"]] = new_shoulders + ratios["shoulders"] * (xy[at["shoulder"]] - shoulders)
        out[at["hip"]] = hips + ratios["hips"] * (xy[at["hip"]] - hips)
        for bone in ("upper_arm", "forearm", "thigh", "shin"):
            a, b = (at[joint] for joint in _LIMBS[bone])
            out[b] = out[a] + ratios[bone] * (xy[b] - xy[a])
        fingers = [*(INDEX[f"{side}_{tip}"] for tip in ("pinky", "index", "thumb")), *range(hand.start, hand.stop)]
        toes = [INDEX[f"{side}_heel"], INDEX[f"{side}_foot_index"]]
        for bone, root, points in (("hand", at["wrist"], fingers), ("foot", at["ankle"], toes)):
            out[points] = out[root] + ratios[bone] * (xy[points] - xy[root])
    return out


class LimbFitter:
    """Gives a performer's poses the target's proportions, and learns the performer's own meanwhile.

    Args:
        target: the target's proportions.
        known: `lengths` of the performer every `LENGTHS_STEP_S`, if all are known; then nothing more is learnt.
    """

    def __init__(self, target: Proportions, known: Sequence[Floats] = ()) -> None:
        self._target = target
        self._seen = deque(known, maxlen=None if known else round(MEMORY_S / LENGTHS_STEP_S))
        self._seen_at_s = np.inf if known else -np.inf
        self._shown = self._newest = np.eye(K, dtype=np.float32)
        if known:
            self._shown = self._newest = self._estimate()

    def exchange(self, target: Proportions) -> None:
        """Fit to another target from now on, by what is known of the performer."""
        self._target = target
        if self._seen:
            self._shown = self._newest = self._estimate()

    def fit(self, pose: Pose, at_s: float, elapsed_s: float) -> Pose:
        """Fit a pose seen at `at_s` seconds, `elapsed_s` after the one before."""
        if at_s - self._seen_at_s >= LENGTHS_STEP_S:
            self._seen_at_s = at_s
            self._seen.append(lengths(pose))
            self._newest = self._estimate()
        xy = self._shown @ pose.xy
        change = self._newest @ pose.xy - xy
        most_px = float(np.abs(change[pose.confidence > 0]).max(initial=0.0))
        gain = np.float32(min(1.0, LIMB_DRIFT_PER_S * elapsed_s * stature_px(pose) / max(most_px, 1e-6)))
        self._shown = self._shown + gain * (self._newest - self._shown)
        return Pose(np.asarray(xy + gain * change, np.float32), pose.depth, pose.confidence)

    def _estimate(self) -> Floats:
        """The matrix that gives keypoints the target's proportions."""
        own = measure_proportions(self._seen)
        if own is None:
            return self._newest
        trust = LENGTHS_STEP_S * len(self._seen) / (LENGTHS_STEP_S * len(self._seen) + PROPORTIONS_PRIOR_S)
        ratios = {
            name: float(np.clip(getattr(self._target, name) / getattr(own, name), 1 / MOST, MOST)) ** trust
            for name in _NAMES
        }
        return fit_limbs(np.eye(K, dtype=np.float32), ratios)


def _distance(a: Floats, b: Floats) -> float:
    return float(np.linalg.norm(a - b))
