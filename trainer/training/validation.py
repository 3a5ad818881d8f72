"""How a chain does on held-out footage: the figures of its frames, gathered one by one."""

from collections.abc import Callable

import numpy as np

from engines.parity import psnr_db
from realtime.frame import Rgb
from trainer.training.stage import Score

DISTANCE_EVERY = 5
"""Frames between those whose perceptual distance is taken: the network is a heavy one."""


class ChainValidation:
    """Of a chain of so many frames, at least one."""

    def __init__(self, frames: int) -> None:
        self._tenth, self._half = max(1, frames // 10), frames // 2
        self._psnrs_db: list[float] = []
        self._distances: list[float] = []

    def note(self, output: Rgb, truth: Rgb, distance: Callable[[], float]) -> None:
        """Note the next frame; `distance` is called in every fifth frame of the second half."""
        late = len(self._psnrs_db) - self._half
        if late >= 0 and late % DISTANCE_EVERY == 0:
            self._distances.append(distance())
        self._psnrs_db.append(psnr_db(output, truth))

    def score(self) -> Score:
        """PSNR of the first and the last tenth, and the distance of the second half."""
        tenth = self._tenth
        parts = self._psnrs_db[:tenth], self._psnrs_db[-tenth:], self._distances
        return Score(*(float(np.mean(part)) for part in parts))
