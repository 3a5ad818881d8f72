"""Drift: does a chain that has run for minutes on its own outputs still paint as well as a young one?

Footage with the person in it is played forwards and backwards until the chain is long enough. Its last frames are
compared with the truth, and so are the same frames of a fresh chain: the difference is what age has cost.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Protocol

import numpy as np

from engines.parity import psnr_db
from realtime.frame import Rgb
from realtime.pose.pose import Pose

WINDOW = 500
"""Frames at the end that are compared."""
WARM_UP = 50
"""Frames that the fresh chain plays before, so that its first pictures do not count."""
LEAST_FRAMES = 20


class ChainRenderer(Protocol):
    """What renders a chain."""

    def reset(self) -> None:
        """Start anew."""

    def step(self, figure: Rgb, pose: Pose | None) -> Rgb:
        """The next picture, uint8 H W 3."""


@dataclass(frozen=True, slots=True)
class Plan:
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


def plan_drift(poses: Sequence[Pose | None], length: int, every: int) -> Plan | None:
    """Play the longest stretch with the person in it; None if it is too short, or `length` is.

    Without breaks, for while nobody is there a chain starts anew.
    """
    best, begin = range(0), 0
    for end, pose in enumerate([*poses, None]):
        if pose is None:
            best = max(best, range(begin, end), key=len)
            begin = end + 1
    if min(len(best), length) < LEAST_FRAMES:
        return None
    frames = list(islice(cycle([*best, *reversed(best[1:-1])]), length))
    window = length - min(WINDOW, length // 2)
    return Plan(frames, frozenset(range(window, length, every)), max(0, window - WARM_UP))


def measure_drift(
    plan: Plan,
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
