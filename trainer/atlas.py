"""Build an atlas from prepared footage: which frames show each part best, and the part alone cut out of each."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.parts.atlas import Atlas, Reference
from realtime.parts.bones import BONES, PARTS, PART_BONES, Limbs, limbs_of, plain_widths
from realtime.parts.composite import far_first
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
        usable = np.flatnonzero([one.sure[PART_BONES[g]].min() >= LEAST_SURE for one in limbs])
        table = np.stack([describe(limbs[i], part) for i in usable])
        count = (counts or COUNTS)[part.split("_")[-1]]
        at = np.array([frames[i] for i in usable])
        for k in pick(table, at, hidden[usable, g], count, APART_S * footage.about.fps):
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
    return Atlas((footage.about.width_px, footage.about.height_px), widths, references)


def pick(table: Floats, at, hidden, count: int, apart: float) -> list[int]:
    """Greedy: each next candidate lessens the mean distance of all frames to their nearest reference the most."""
    square = (table**2).sum(1)
    away = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * table @ table.T, 0)).astype(np.float32)
    away += 0.3 * hidden[None]
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
    """Of each part, G, how much of its flesh nearer parts cover."""
    step = 4
    window = _around(limbs, 10000, 10000)
    frames = LimbFrames(window, step)
    frames.place(limbs)
    solid = _distances(frames) < 0.8
    covered = np.zeros(frames.shape, bool)
    share = np.zeros(len(PARTS), np.float32)
    names = list(PARTS)
    for part in reversed(far_first(limbs)):
        g = names.index(part)
        share[g] = (solid[g] & covered).sum() / max(1, solid[g].sum())
        covered |= solid[g]
    return share


def _around(limbs: Limbs, width: int, height: int, step: int = 4) -> Window:
    reach = 2 * np.maximum(limbs.half_px, limbs.cap_px)[:, None]
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
    part_of = {int(b): g for g, bones in enumerate(PART_BONES) for b in bones}
    for field in frames.fields:
        at = out[part_of[field.bone]][field.part]
        np.minimum(at, np.sqrt(field.square), out=at)
    out[out > 2.2] = np.inf
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
        core = self.away.min(0) < 0.5
        mask = np.maximum(silhouette(frame, plate)[self.at], core)
        mask[~np.isfinite(self.away.min(0))] = 0
        self.mask = keep_connected(mask, core)
        names = list(PARTS)
        label = np.argmin(self.away, 0)
        claimed = np.zeros(label.shape, bool)
        for part in reversed(far_first(limbs)):
            g = names.index(part)
            mine = (self.away[g] < 1) & ~claimed
            label[mine] = g
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
        hole = (self.away[g] < 0.9) & (self.label != g) & (alpha < 0.5)
        if part == "torso" or part == "head":
            if hole.any():
                k = cv2.dilate(hole.astype(np.uint8), np.ones((3, 3)))
                picture = inpaint(picture, k)
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


def inpaint(picture, hole):
    rows, cols = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    at = slice(max(rows[0] - 8, 0), rows[-1] + 9), slice(max(cols[0] - 8, 0), cols[-1] + 9)
    out = picture.copy()
    out[at] = cv2.inpaint(np.ascontiguousarray(picture[at]), np.ascontiguousarray(hole[at]), 3, cv2.INPAINT_TELEA)
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


def learn_widths(footage: Footage) -> Floats:
    return plain_widths()
