"""What a stage of the training is to the loop, and how its chains are validated."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from engines.parity import psnr_db
from realtime.frame import Rgb

DISTANCE_EVERY = 5
"""Frames between those whose perceptual distance is computed, for its cost."""


class Score(NamedTuple):
    """How well a stage does on held-out footage."""

    first_db: float
    """PSNR at the start of a chain, or without the stage's network."""
    last_db: float
    """PSNR at the end of the chain, or with it."""
    distance: float
    """Perceptual distance from the truth in the second half of the chain, or with the network. The least one decides
    which state is best: PSNR does not, for it prefers blurred pictures."""


class Stage(Protocol):
    """A network in training, with all that its training needs."""

    name: str
    steps: int
    step_number: int
    """Steps done."""
    pictures_per_step: int
    fps: float
    """Frame rate of what `validate` shows."""
    lr_scale: float
    """Factor of the learning rates."""

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""

    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Render up to so many frames of held-out footage, as live; show each beside the truth."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, of all processes: so all of them must call it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""

    def close(self) -> None:
        """Stop threads and close files."""


class ChainValidation:
    """Scores a chain of `frames` frames, at least one, frame by frame."""

    def __init__(self, frames: int) -> None:
        self._tenth, self._half = max(1, frames // 10), frames // 2
        self._psnrs_db: list[float] = []
        self._distances: list[float] = []

    def add(self, output: Rgb, truth: Rgb, distance: Callable[[], float]) -> None:
        """Take the next frame; `distance` is called in every fifth frame of the second half."""
        late = len(self._psnrs_db) - self._half
        if late >= 0 and late % DISTANCE_EVERY == 0:
            self._distances.append(distance())
        self._psnrs_db.append(psnr_db(output, truth))

    def score(self) -> Score:
        """PSNR of the first and of the last tenth, and the mean distance of the second half."""
        tenth = self._tenth
        parts = self._psnrs_db[:tenth], self._psnrs_db[-tenth:], self._distances
        return Score(*(float(np.mean(part)) for part in parts))
