"""Drift: how much worse a chain is that has run on its own outputs for minutes than one that has just begun.

Footage with the person in it is played forwards and backwards until the chain is long enough. Its last frames are
compared with the truth, and so are the same frames of a fresh chain: the difference is the drift.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Protocol

import numpy as np

from engines.parity import psnr_db
from realtime.frame import Rgb
from realtime.pose.pose import Pose

COMPARED_FRAMES = 500
"""Frames at the end that are compared."""
WARM_UP_FRAMES = 50
"""Frames that the fresh chain plays before those."""
LEAST_FRAMES = 20


class ChainRenderer(Protocol):
    """A renderer that is fed its own outputs."""

    def reset(self) -> None:
        """Start a new chain."""

    def step(self, figure: Rgb, pose: Pose | None) -> Rgb:
        """The next picture, uint8 H W 3."""


@dataclass(frozen=True, slots=True)
class DriftPlan:
    """Which frames are played, and which of them are compared."""

    frames: list[int]
    """In the order of playing."""
    compared: frozenset[int]
    """Positions in `frames`."""
    fresh: int
    """Position at which the fresh chain begins."""

    @property
    def steps(self) -> int:
        """How many pictures are rendered."""
        return 2 * len(self.frames) - self.fresh


def plan_drift(poses: Sequence[Pose | None], length: int, every: int) -> DriftPlan | None:
    """Play the longest stretch with the person in every frame, since a chain starts anew while nobody is there.

    Args:
        poses: of all frames.
        length: of the chain, in frames.
        every: compare every so many frames.

    Returns:
        None if the stretch or `length` is below `LEAST_FRAMES`.
    """
    best, begin = range(0), 0
    for end, pose in enumerate([*poses, None]):
        if pose is None:
            best = max(best, range(begin, end), key=len)
            begin = end + 1
    if min(len(best), length) < LEAST_FRAMES:
        return None
    frames = list(islice(cycle([*best, *reversed(best[1:-1])]), length))
    window = length - min(COMPARED_FRAMES, length // 2)
    return DriftPlan(frames, frozenset(range(window, length, every)), max(0, window - WARM_UP_FRAMES))


def measure_drift(
    plan: DriftPlan,
    poses: Sequence[Pose | None],
    draw: Callable[[Pose | None], Rgb],
    truths: Mapping[int, Rgb],
    chain: ChainRenderer,
    on_step: Callable[[], None],
) -> float:
    """Play the plan, then its end once more with a fresh chain.

    Args:
        plan: which frames.
        poses: of all frames.
        draw: a pose's figure, uint8 H W 3.
        truths: pictures of the frames that are compared, uint8 H W 3.
        chain: what plays.
        on_step: called after each of `plan.steps` pictures.

    Returns:
        By how many dB PSNR, whole pictures, the old chain is below the fresh one.
    """
    means_db = []
    for start in (0, plan.fresh):
        chain.reset()
        psnrs_db = []
        for position in range(start, len(plan.frames)):
            frame = plan.frames[position]
            picture = chain.step(draw(poses[frame]), poses[frame])
            if position in plan.compared:
                psnrs_db.append(psnr_db(picture, truths[frame]))
            on_step()
        means_db.append(float(np.mean(psnrs_db)))
    return round(means_db[1] - means_db[0], 4)
