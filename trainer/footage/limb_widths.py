"""How wide flesh and clothes are around each bone, from the outlines of the person in footage."""

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.pose.pose import Floats
from realtime.references.bones import BONE, BONES, SIDES, B, Limbs, half_widths, kind, limbs_of, plain_widths
from trainer.footage.cutout import silhouette
from trainer.footage.prepared import Footage

FRAMES = 150
ALONG = (0.3, 0.5, 0.7)
"""Places on a bone where it is measured, from its start 0 to its end 1."""
LEAST, MOST = 0.6, 1.6
"""Of plain half-widths; where the outline is farther away, another part is beside this one."""
STEP = 0.02
"""Of a half-width."""
WIDEST = {"pelvis": 0.8}
"""Quantile over the places: a skirt is as wide as its hem; 0.5 for all others."""
THIGH = 1.8
"""Most of a thigh's half-width in a shin's: what is measured of it below a skirt is the skirt."""
ENOUGH = 30


def learn_widths(footage: Footage) -> Floats:
    """Half-widths in statures from the front and from the side, B 2; plain ones where there is too little to see."""
    plain = plain_widths()
    if not footage.about.static:
        return plain
    seen = [(n, pose) for n, pose in enumerate(footage.poses[: footage.first_held_out]) if pose is not None]
    reader, limbs, found = footage.reader(), [], []
    for n, pose in seen[:: max(1, len(seen) // FRAMES)]:
        limbs.append(limbs_of(pose, plain))
        found.append(_ends(silhouette(reader.read(n), footage.plate), limbs[-1]))
    reader.close()
    if not limbs:
        return plain
    return _together(_medians(limbs, np.stack(found), plain))


def _ends(mask: Floats, limbs: Limbs) -> Floats:
    """The ways across each bone, to both sides at every place, to where the mask ends: B 6, in plain half-widths."""
    steps = np.arange(0, MOST + 0.1, STEP, dtype=np.float32)
    across = np.stack([-limbs.along[:, 1], limbs.along[:, 0]], axis=1) * limbs.half_px[:, None]
    places = np.array(ALONG, np.float32)[None, :, None]
    roots = limbs.start_px[:, None] + places * (limbs.end_px - limbs.start_px)[:, None]
    ways = np.array([-1, 1], np.float32)[:, None, None] * steps[None, :, None] * across[:, None, None]
    points = roots[:, :, None, None] + ways[:, None]  # B 3 2 steps 2
    x, y = points.reshape(B, -1, 2).transpose(2, 0, 1)
    outside = cv2.remap(mask, x, y, cv2.INTER_LINEAR).reshape(B, -1, len(steps)) < 0.5
    return np.asarray(np.where(outside.any(axis=2), steps[outside.argmax(axis=2)], steps[-1]), np.float32)


def _medians(limbs: list[Limbs], found: Floats, plain: Floats) -> Floats:
    """B 2 from the single measurements, N B 6 in plain half-widths."""
    widths = plain.copy()
    for b, bone in enumerate(BONES):
        turned = np.array([one.head_yaw if bone == "head" else one.yaw for one in limbs])
        sure = np.array([one.sure[b] > 0.9 for one in limbs])
        own = np.array([half_widths(plain, one.yaw, one.head_yaw)[b] for one in limbs], np.float32)
        for view, facing in enumerate((np.abs(np.cos(turned)) > 0.8, np.abs(np.sin(turned)) > 0.8)):
            values = (found[:, b] * own[:, None])[facing & sure].ravel()
            if len(values) >= ENOUGH:
                typical = np.quantile(values, WIDEST.get(bone, 0.5))
                widths[b, view] = np.clip(typical, LEAST * plain[b, view], MOST * plain[b, view])
    return widths


def _together(widths: Floats) -> Floats:
    """Left and right alike, and thighs as legs go on."""
    for limb in {kind(bone) for bone in BONES if kind(bone) != bone}:
        pair = _pair(limb)
        widths[pair] = widths[pair].mean()
    widths[_pair("thigh")] = np.minimum(widths[_pair("thigh")], THIGH * widths[_pair("shin")])
    return widths


def _pair(limb: str) -> NDArray[np.intp]:
    return np.array([BONE[f"{side}_{limb}"] for side in SIDES])
