"""Build an atlas from prepared footage: which frames show each part best, and the part alone cut out of each."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.parts.atlas import Atlas, Reference
from realtime.parts.bones import BONES, PARTS, PART_BONES, REACH, Limbs, far_first, limbs_of, plain_widths
from realtime.parts.choose import HIDDEN
from realtime.parts.describe import describe
from realtime.parts.limb_frames import Field, LimbFrames, Window
from realtime.pose.pose import Floats
from trainer.footage import Footage

COUNTS = {"torso": 256, "head": 256, "arm": 192, "hand": 256, "leg": 160}
"""References of each part."""
EVERY = 3
"""Of the frames with the person in them so many are left out between two candidates."""
MOST_HIDDEN = 0.35
LEAST_SURE = 0.6
APART_S = 1.5


def build_atlas(footage: Footage, counts: dict[str, int] | None = None, widths: Floats | None = None) -> Atlas:
    widths = learn_widths(footage) if widths is None else widths
    frames = [n for n in range(0, footage.training_frames, EVERY) if footage.poses[n] is not None]
    limbs = [limbs_of(footage.poses[n], widths) for n in frames]
    hidden = np.stack([hidden_shares(one) for one in limbs])
    chosen: dict[int, list[str]] = {}
    for g, part in enumerate(PARTS):
        usable = np.flatnonzero([one.sure[PART_BONES[part]].min() >= LEAST_SURE for one in limbs])
        table = np.stack([describe(limbs[i], part) for i in usable])
        count = (counts or COUNTS)[part.split("_")[-1]]
        at = np.array([frames[i] for i in usable])
        for k in pick(table, at, hidden[usable, g], count, APART_S * footage.about.fps, HIDDEN[part.split('_')[-1]]):
            chosen.setdefault(int(at[k]), []).append(part)
    references = {part: [] for part in PARTS}
    reader = footage.reader()
    for n in sorted(chosen):
        one = limbs_of(footage.poses[n], widths)
        share = hidden[frames.index(n)]
        cut = Cutter(reader.read(n), footage.plate, one)
        for part in chosen[n]:
            ref = cut.reference(n, part, float(share[list(PARTS).index(part)]))
            if ref is not None:
                references[part].append(ref)
    reader.close()
    for part in references:
        if part not in ("torso", "head"):
            colours = np.stack([r.picture.reshape(-1, 4).astype(float).sum(0) for r in references[part]])
            colours = 255 * colours[:, :3] / colours[:, 3:]
            off = np.abs(colours - np.median(colours, 0)).max(1)
            keep = off < (22 if 'hand' in part else 30)
            print(part, "odd colours", (~keep).sum(), "of", len(keep), np.percentile(off, [50, 80, 90, 95]).round())
            references[part] = [r for r, k in zip(references[part], keep) if k]
    return Atlas((footage.about.width_px, footage.about.height_px), widths, references)


def pick(table: Floats, at, hidden, count: int, apart: float, hidden_weight: float) -> list[int]:
    """Greedy: each next candidate lessens the mean distance of all frames to their nearest reference the most."""
    square = (table**2).sum(1)
    away = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * table @ table.T, 0)).astype(np.float32)
    away += hidden_weight * hidden[None]
    away[np.abs(at[:, None] - at[None]) < apart] = np.inf
    near = np.full(len(table), 3 * np.median(away[np.isfinite(away)]), np.float32)
    chosen = []
    for _ in range(min(count, len(table))):
        gain = np.maximum(near[:, None] - away, 0).sum(0)
        gain[chosen] = -1
        k = int(gain.argmax())
        chosen.append(k)
        near = np.minimum(near, away[:, k])
    return sorted(chosen)


def hidden_shares(limbs: Limbs) -> Floats:
    """Of each part, G, how much of its flesh nearer parts cover, and BEFORE times how much it covers of others."""
    frames = LimbFrames(_around(limbs, 10000, 10000), 4)
    frames.place(limbs)
    frames.fields = [field for field in frames.fields if "thigh" not in BONES[field.bone]]
    solid = _distances(frames) < 0.9
    names = list(PARTS)
    order = [names.index(part) for part in reversed(far_first(limbs))]
    share = np.zeros(len(PARTS), np.float32)
    for rank, g in enumerate(order):
        before, behind = (solid[rows].any(0) if rows else np.zeros(frames.shape, bool) for rows in (order[:rank], order[rank + 1 :]))
        if names[g] in ("torso", "head") :
            behind = np.zeros(frames.shape, bool)
        hidden = np.maximum(before, BEFORE * behind)
        share[g] = hidden[solid[g]].sum() / max(1, solid[g].sum())
    return share


BEFORE = float(os.environ.get("BEFORE", "0.4"))


def _around(limbs: Limbs, width: int, height: int, step: int = 4) -> Window:
    reach = (REACH * np.maximum(limbs.half_px, limbs.cap_px))[:, None]
    low = np.minimum(limbs.start_px, limbs.end_px) - reach
    high = np.maximum(limbs.start_px, limbs.end_px) + reach
    sure = limbs.sure > 0
    left, top = (np.floor(low[sure].min(0) / step).astype(int) * step).tolist()
    right, bottom = (np.ceil(high[sure].max(0) / step).astype(int) * step).tolist()
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    return Window(left, top, max(right - left, step), max(bottom - top, step))


def _distances(frames: LimbFrames) -> Floats:
    """Half-widths from each part, G H W; inf beyond reach."""
    out = np.full((len(PARTS), *frames.shape), np.inf, np.float32)
    part_of = {int(b): g for g, bones in enumerate(PART_BONES.values()) for b in bones}
    for field in frames.fields:
        at = out[part_of[field.bone]][field.box]
        np.minimum(at, np.sqrt(field.square), out=at)
    out[out > 2] = np.inf
    return out


def silhouette(frame: Rgb, plate: Rgb) -> Floats:
    a, p = (cv2.GaussianBlur(x, (3, 3), 0.7).astype(np.float32) for x in (frame, plate))
    dark = np.clip((a * p).sum(2) / np.maximum((p * p).sum(2), 1), 0.4, 1)
    away = np.abs(a - dark[..., None] * p).max(2)
    mask = np.clip((away - 10) / 14, 0, 1)
    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5)))


class Cutter:
    """The person's parts in one frame."""

    def __init__(self, frame: Rgb, plate: Rgb, limbs: Limbs) -> None:
        h, w = frame.shape[:2]
        self.limbs, self.frame = limbs, frame
        win = self.window = _around(limbs, w, h)
        self.at = slice(win.y, win.y + win.height), slice(win.x, win.x + win.width)
        frames = LimbFrames(win, 1)
        frames.place(limbs)
        self.away = _distances(frames)
        core = np.delete(self.away, list(PARTS).index('head'), 0).min(0) < 0.4
        mask = np.maximum(silhouette(frame, plate)[self.at], core)
        mask[~np.isfinite(self.away.min(0))] = 0
        self.mask = keep_connected(mask, core)
        names = list(PARTS)
        label = np.argmin(self.away, 0)
        claimed = np.zeros(label.shape, bool)
        self.taken = np.zeros(self.away.shape, bool)
        for part in reversed(far_first(limbs)):
            g = names.index(part)
            mine = (self.away[g] < (1.5 if 'hand' in part else 1)) & ~claimed
            label[mine] = g
            self.taken[g] = claimed & ~mine
            claimed |= mine
        self.label = label

    def alpha(self, part: str) -> Floats:
        g = list(PARTS).index(part)
        mine = (self.label == g).astype(np.float32)
        for joint, r in joints_of(part, self.limbs):
            circle = np.zeros_like(mine)
            x, y = joint - (self.window.x, self.window.y)
            cv2.circle(circle, (round(float(x) * 16), round(float(y) * 16)), round(float(r) * 16), 1.0, -1, cv2.LINE_8, 4)
            mine = np.maximum(mine, circle * (self.away[g] < 1.2))
        mine = cv2.GaussianBlur(mine, (0, 0), max(0.6, self.limbs.stature_px / 250))
        return mine * self.mask

    def reference(self, n: int, part: str, hidden: float):
        g = list(PARTS).index(part)
        alpha = self.alpha(part)
        picture = np.ascontiguousarray(self.frame[self.at])
        hole = (self.away[g] < (0.9 if part in ('torso', 'head') else 0.6)) & self.taken[g] & (alpha < 0.5) & (self.mask > 0.5)
        if part not in ("torso", "head"):
            r = 2 * round(0.05 * self.limbs.stature_px) + 1
            hole &= cv2.dilate((alpha > 0.5).astype(np.uint8), np.ones((r, r))) > 0
        if hole.any():
            r = 2 * round(0.006 * self.limbs.stature_px) + 1
            k = cv2.dilate(hole.astype(np.uint8), np.ones((r, r)))
            others = (alpha < 0.9).astype(np.uint8)
            picture = inpaint(picture, k, others)
            alpha = np.maximum(alpha, cv2.GaussianBlur(k.astype(np.float32), (0, 0), 1.0))
        on = alpha > 1 / 255
        rows, cols = np.flatnonzero(on.any(1)), np.flatnonzero(on.any(0))
        if not len(rows):
            return None
        # even corners: the codec halves the colours' resolution as the footage's did
        y0, x0 = rows[0] - (rows[0] + self.window.y) % 2, cols[0] - (cols[0] + self.window.x) % 2
        y0, x0 = max(y0, 0), max(x0, 0)
        part_ = slice(y0, rows[-1] + 1), slice(x0, cols[-1] + 1)
        a = alpha[part_][..., None]
        rgba = np.concatenate([picture[part_] * a, 255 * a], 2)
        return Reference(n, (int(x0 + self.window.x), int(y0 + self.window.y)), (rgba + 0.5).astype(np.uint8), self.limbs, hidden)


def inpaint(picture, hole, others):
    """Fill the hole from around it, but not from what is others'."""
    rows, cols = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    at = slice(max(rows[0] - 8, 0), rows[-1] + 9), slice(max(cols[0] - 8, 0), cols[-1] + 9)
    out = picture.copy()
    unknown = np.maximum(hole, others)
    out[at] = cv2.inpaint(np.ascontiguousarray(picture[at]), np.ascontiguousarray(unknown[at]), 3, cv2.INPAINT_TELEA)
    out[hole == 0] = picture[hole == 0]
    return out


def joints_of(part, limbs):
    B = BONES.index
    side, _, kind = part.partition("_")
    s, e, h = limbs.start_px, limbs.end_px, limbs.half_px
    if kind == "arm":
        return [(s[B(f"{side}_hand")], 1.0 * h[B(f"{side}_forearm")]), (s[B(f"{side}_upper_arm")], h[B(f"{side}_upper_arm")])]
    if kind == "hand":
        return [(s[B(f"{side}_hand")], h[B(f"{side}_forearm")])]
    if part == "head":
        return [(s[B("head")], 0.6 * h[B("head")])]
    return []


def keep_connected(mask, core):
    count, labels = cv2.connectedComponents((mask > 0.3).astype(np.uint8))
    keep = np.zeros(count, bool)
    keep[np.unique(labels[core])] = True
    keep[0] = True
    return mask * keep[labels]


def learn_widths(footage: Footage, count: int = 150) -> Floats:
    """Half-widths from silhouettes: how far across each bone it is to where the person ends."""
    plain = plain_widths()
    seen = [n for n in range(footage.training_frames) if footage.poses[n] is not None]
    reader = footage.reader()
    rows = []
    for n in seen[:: max(1, len(seen) // count)]:
        limbs = limbs_of(footage.poses[n], plain)
        mask = silhouette(reader.read(n), footage.plate)
        rows.append((limbs, ends_px(mask, limbs, plain) / limbs.stature_px))
    reader.close()
    widths = plain.copy()
    for b, bone in enumerate(BONES):
        yaw = np.array([one.head_yaw if bone == "head" else one.yaw for one, _ in rows])
        found = np.stack([r[b] for _, r in rows])  # N S
        sure = np.array([one.sure[b] > 0.9 for one, _ in rows])
        for k, turned in enumerate((np.abs(np.cos(yaw)) > 0.8, np.abs(np.sin(yaw)) > 0.8)):
            values = found[turned & sure].ravel()
            if len(values) >= 30:
                widths[b, k] = np.clip(np.quantile(values, 0.8 if bone == 'pelvis' else 0.5), 0.6 * plain[b, k], 1.6 * plain[b, k])
    for bone in ("upper_arm", "forearm", "hand", "thigh", "shin", "foot"):
        pair = [BONES.index(f"left_{bone}"), BONES.index(f"right_{bone}")]
        widths[pair] = widths[pair].mean()
    for side in ("left", "right"):  # what is measured of a thigh below a skirt is the skirt
        thigh, shin = BONES.index(f"{side}_thigh"), BONES.index(f"{side}_shin")
        widths[thigh] = np.minimum(widths[thigh], 1.8 * widths[shin])
    return widths


def ends_px(mask: Floats, limbs: Limbs, plain: Floats) -> Floats:
    """B S: from S places of every bone the way to where the mask ends, at most 1.6 plain half-widths."""
    along = np.array([0.3, 0.5, 0.7])
    t = np.arange(0, 1.7, 0.02)
    way = limbs.end_px - limbs.start_px
    length = np.maximum(np.linalg.norm(way, axis=1), 1)
    across = np.stack([-way[:, 1], way[:, 0]], 1) / length[:, None] * limbs.half_px[:, None]
    root = limbs.start_px[:, None] + along[None, :, None] * way[:, None]
    out = []
    for sign in (-1, 1):
        at = root[:, :, None] + sign * t[None, None, :, None] * across[:, None, None]
        xy = at.astype(np.float32).reshape(len(root), -1, 2)
        v = cv2.remap(mask, xy, None, cv2.INTER_LINEAR).reshape(len(root), len(along), len(t))
        off = v < 0.5
        first = np.where(off.any(2), off.argmax(2), len(t) - 1)
        out.append(t[first] * limbs.half_px[:, None])
    return np.concatenate(out, 1)
