"""What the loop and its keepers need to know of a stage of the training."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from realtime.frame import Rgb


class Score(NamedTuple):
    """How a stage does on held-out footage."""

    first_db: float
    """PSNR at the start of a chain, or without the stage's network."""
    last_db: float
    """PSNR at the end of the chain, or with it."""
    distance: float
    """Perceptual distance from the truth once the chain has run for a while, or with the network. The least one
    decides which state is best: PSNR does not, for it prefers blurred pictures."""


class Stage(Protocol):
    """A network in training, with all that its training needs."""

    name: str
    steps: int
    step_number: int
    """Steps done."""
    pictures_per_step: int
    fps: float
    """Of what `validate` shows."""
    lr_scale: float
    """Factor of the learning rates."""

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""

    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Try it on up to so many frames of held-out footage, as live; show each beside the truth."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, in all processes: so all of them must call it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""

    def close(self) -> None:
        """Let go of threads and files."""
