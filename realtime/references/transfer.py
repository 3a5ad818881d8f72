"""Affine maps from one pose's picture to another's: where the same place of a bone is there."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from realtime.pose.pose import Floats
from realtime.pose.skeleton import FACE, INDEX
from realtime.references.bones import BONE, Limbs

MOST_STRETCH = 2.5
"""Of a foreshortened bone's length to that in another pose: beyond, it is moved, not stretched."""
LONG = 3.0
"""Half-widths from which on a bone's direction is believed; of one that points at the camera it is noise."""
_FEATURES = np.arange(INDEX["mouth_right"] + 1)
"""Nose, eyes, ears and corners of the mouth."""
_FACE = np.concatenate([_FEATURES, np.arange(FACE.start, FACE.stop)])


def transfer(to: Limbs, source: Limbs, bones: NDArray[np.intp]) -> Floats:
    """Maps of pixels near bones in one pose to the same places in another pose's picture.

    Args:
        to: of the pose whose picture is made.
        source: of the pose whose picture there is.
        bones: N of them.

    Returns:
        N 2 3, float32.
    """
    return transfers(to, [(source, bones)])[0]


def transfers(to: Limbs, sources: Sequence[tuple[Limbs, NDArray[np.intp]]]) -> list[Floats]:
    """`transfer` from several poses, each with its own bones, at once: NumPy's calls cost more than these sums."""
    all_bones = np.concatenate([bones for _, bones in sources])

    def gather(values: Callable[[Limbs], Floats]) -> tuple[Floats, Floats]:
        return np.concatenate([values(limbs)[bones] for limbs, bones in sources]), values(to)[all_bones]

    half, own_half = gather(lambda limbs: limbs.half_px)
    length, own_length = gather(lambda limbs: limbs.length_px)
    along, own_along = gather(lambda limbs: limbs.along)
    start, own_start = gather(lambda limbs: limbs.start_px)
    end, own_end = gather(lambda limbs: limbs.end_px)
    widen = (half / own_half)[:, None, None]
    stretch = np.minimum(np.maximum(length / own_length, 1 / MOST_STRETCH), MOST_STRETCH)[:, None, None]
    turn = stretch * _outer(along, own_along) + widen * _outer(_across(along), _across(own_along))
    trust = np.minimum(np.minimum(length / half, own_length / own_half) / LONG, 1)[:, None, None]
    maps = np.empty((len(all_bones), 2, 3), np.float32)
    maps[:, :, :2] = trust * turn + (1 - trust) * widen * np.eye(2, dtype=np.float32)
    maps[:, :, 2] = (start + end) / 2 - (maps[:, :, :2] @ ((own_start + own_end) / 2)[:, :, None])[:, :, 0]
    parts = np.split(maps, np.cumsum([len(bones) for _, bones in sources])[:-1])
    for part, (source, bones) in zip(parts, sources, strict=True):
        heads = np.flatnonzero(bones == BONE["head"])
        if len(heads):
            part[heads] = _head(to, source)
    return parts


def similarity(points: Floats, others: Floats) -> Floats:
    """2 3, the similarity that takes N points nearest to N others, each N 2, in least squares."""
    centre, other_centre = points.mean(axis=0), others.mean(axis=0)
    # As complex numbers, turning and scaling is one factor.
    p, q = ((xy - c) @ np.array([1, 1j]) for xy, c in ((points, centre), (others, other_centre)))
    factor = np.vdot(p, q) / max(np.vdot(p, p).real, 1e-3)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([turn, other_centre - turn @ centre]).astype(np.float32)


def _head(to: Limbs, source: Limbs) -> Floats:
    """By the face where both have one: that of a bone is as shaky as the shoulders."""
    seen = min(to.pose.confidence[FACE.start], source.pose.confidence[FACE.start]) > 0
    points = _FACE if seen else _FEATURES
    return similarity(to.pose.xy[points], source.pose.xy[points])


def _outer(a: Floats, b: Floats) -> Floats:
    """N 2 2 of N 2 each."""
    return a[:, :, None] * b[:, None, :]


def _across(along: Floats) -> Floats:
    """A quarter turn, N 2."""
    return along[:, ::-1] * np.array([-1, 1], np.float32)
