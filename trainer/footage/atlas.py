"""Build an atlas from prepared footage: which frames show each part best, and the part alone cut out of each."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.console import progress_bar
from engines.cores import usable_cores
from realtime.frame import Rgb
from realtime.pose.pose import Floats, Pose
from realtime.references.atlas import ATLAS, Atlas, Reference
from realtime.references.bones import BONES, PART_BONES, PARTS, Limbs, far_first, kind, limbs_of
from realtime.references.choose import HIDDEN
from realtime.references.describe import describe
from realtime.references.limb_frames import LimbFrames
from trainer.footage.cutout import Cutter, part_distances, window_of
from trainer.footage.limb_widths import learn_widths
from trainer.footage.prepared import Footage, PictureReader

COUNTS = {"torso": 384, "head": 448, "arm": 256, "hand": 384, "leg": 224}
"""References of each part, of arms, hands and legs on each side."""
EVERY = 3
"""One frame in so many is a candidate; the frames beside it are looked at, too, for the sharpest."""
LEAST_SURE = 0.6
"""Of every bone of the part."""
BEFORE = 0.4
"""A limb before another part is so much worse than alone, as a share of being hidden: its outline is uncertain."""
SOLID = 0.9
"""Half-widths within which parts hide each other."""
SHARPER = 1.2
"""A frame's neighbour takes its place if it is so many times as sharp."""
ODD = {"hand": 22, "arm": 30, "leg": 30}
"""Grey levels of a limb's mean colour from the median of its references from which on something else was cut out."""


def ensure_atlas(data: Path) -> None:
    """Build the atlas of prepared footage, unless it is there already."""
    if not (data / ATLAS).exists():
        build_atlas(Footage(data)).save(data / ATLAS)


def build_atlas(footage: Footage) -> Atlas:
    """Choose and cut out references from the training frames of prepared footage."""
    widths = learn_widths(footage)
    chosen = sorted(_choose(footage, widths).items())
    size, cores = (footage.about.width_px, footage.about.height_px), usable_cores()
    each = -(-len(chosen) // cores)
    runs = [chosen[first : first + each] for first in range(0, len(chosen), max(1, each))]
    references: dict[str, list[Reference]] = {part: [] for part in PARTS}
    with progress_bar(transient=True) as progress, ThreadPoolExecutor(cores) as pool:
        task = progress.add_task("Cutting out references", total=len(chosen))
        for found in pool.map(partial(_cut_out, footage, widths, done=lambda: progress.advance(task)), runs):
            for part, reference in found:
                references[part].append(reference)
    for part, rows in references.items():
        references[part] = _alike(rows, ODD[kind(part)]) if rows and kind(part) in ODD else rows
    return Atlas(size, widths, references)


def _cut_out(
    footage: Footage, widths: Floats, chosen: Sequence[tuple[int, list[str]]], *, done: Callable[[], object]
) -> list[tuple[str, Reference]]:
    """The parts that are chosen of some frames, in their order; `done` is called after each frame."""
    references = list[tuple[str, Reference]]()
    plate = footage.plate if footage.about.static else None
    with closing(footage.reader()) as reader:
        for number, parts in chosen:
            found, frame, pose = _sharpest(footage, reader, number)
            limbs = limbs_of(pose, widths)
            cutter, hidden = Cutter(frame, plate, limbs), hidden_shares(limbs, frame.shape)
            cut = ((part, cutter.reference(found, part, hidden[part])) for part in parts)
            references += [(part, reference) for part, reference in cut if reference is not None]
            done()
    return references


def hidden_shares(limbs: Limbs, shape: tuple[int, ...]) -> dict[str, float]:
    """Of each part how much nearer parts cover in a picture of that shape, 0..1; `BEFORE` where it covers others.

    Thighs do not count: what hides them, clothes, hides them in the wanted picture as well.
    """
    frames = LimbFrames(window_of(limbs, (shape[1], shape[0])), 4)
    frames.place(limbs)
    frames.fields = [field for field in frames.fields if kind(BONES[field.bone]) != "thigh"]
    solid = dict(zip(PARTS, part_distances(frames) < SOLID, strict=True))
    near_first, shares = far_first(limbs)[::-1], {}
    nothing = np.zeros(frames.shape, bool)
    for rank, part in enumerate(near_first):
        covered = np.any([nothing, *(solid[other] for other in near_first[:rank])], axis=0)
        behind = [] if part in ("torso", "head") else near_first[rank + 1 :]
        covers = np.any([nothing, *(solid[other] for other in behind)], axis=0)
        worse = np.maximum(covered, BEFORE * covers)[solid[part]]
        shares[part] = float(worse.sum() / max(1, worse.size))
    return shares


def spread(table: Floats, frames: NDArray[np.intp], costs: Floats, count: int, apart: int) -> list[int]:
    """The rows that lie nearest to all others, each next one lessening the mean distance to the nearest the most.

    Args:
        table: N D, descriptors.
        frames: N, of the footage; rows fewer than `apart` frames from each other do not help each other.
        costs: N, what choosing a row adds to its distance.
        count: how many to choose.
        apart: see `frames`.
    """
    squares = (table**2).sum(axis=1)
    away = np.sqrt(np.maximum(squares[:, None] + squares - 2 * table @ table.T, 0)) + costs
    far = np.float32(3 * np.median(away))
    away[np.abs(frames[:, None] - frames) < apart] = far
    nearest, chosen = np.full(len(table), far, np.float32), list[int]()
    for _ in range(min(count, len(table))):
        gain = np.maximum(nearest[:, None] - away, 0).sum(axis=0)
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        np.minimum(nearest, away[:, chosen[-1]], out=nearest)
    return chosen


def _choose(footage: Footage, widths: Floats) -> dict[int, list[str]]:
    """The parts to be taken from each training frame."""
    seen = [(n, pose) for n, pose in enumerate(footage.poses[: footage.first_held_out : EVERY]) if pose is not None]
    limbs = [limbs_of(pose, widths) for _, pose in seen]
    shape = footage.about.height_px, footage.about.width_px
    hidden = [hidden_shares(one, shape) for one in limbs]
    chosen: dict[int, list[str]] = defaultdict(list)
    for part in PARTS:
        rows = [i for i, one in enumerate(limbs) if one.sure[PART_BONES[part]].min() >= LEAST_SURE]
        if not rows:
            continue
        table = np.stack([describe(limbs[i], part) for i in rows])
        frames = np.array([EVERY * seen[i][0] for i in rows])
        costs = np.array([HIDDEN[kind(part)] * hidden[i][part] for i in rows], np.float32)
        for row in spread(table, frames, costs, COUNTS[kind(part)], footage.apart):
            chosen[int(frames[row])].append(part)
    return chosen


def _sharpest(footage: Footage, reader: PictureReader, number: int) -> tuple[int, Rgb, Pose]:
    """A frame, or one beside it in which the person is much sharper, and its pose."""
    rows = []
    for n in (number - 1, number, number + 1):
        pose = footage.poses[n] if 0 <= n < footage.first_held_out else None
        if pose is not None:
            frame = reader.read(n)
            rows.append((sharpness(frame, pose) * (SHARPER if n == number else 1), n, frame, pose))
    _, found, frame, pose = max(rows, key=lambda row: row[:2])
    return found, frame, pose


def sharpness(frame: Rgb, pose: Pose) -> float:
    """The variance of the Laplacian of what the keypoints' box shows."""
    last = np.array(frame.shape[1::-1]) - 1
    (left, top), (right, bottom) = (np.clip(edge, 0, last).astype(int) for edge in (pose.xy.min(0), pose.xy.max(0)))
    part = np.ascontiguousarray(frame[top : bottom + 1, left : right + 1])
    return float(cv2.Laplacian(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def _alike(references: Sequence[Reference], most: float) -> list[Reference]:
    """Those whose mean colour is not farther than `most` grey levels from the median."""
    sums = np.stack([row.picture.reshape(-1, 4).sum(axis=0, dtype=np.float64) for row in references])
    colours = 255 * sums[:, :3] / sums[:, 3:]
    odd = np.abs(colours - np.median(colours, axis=0)).max(axis=1) >= most
    return [row for row, is_odd in zip(references, odd, strict=True) if not is_odd]
