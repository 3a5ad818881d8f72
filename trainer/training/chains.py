"""Chains: generators that run on their own previous outputs, and where the chains of a training have got to.

Letters: N chains, B of which take part in a step; h w as in `trainer.networks`. All tensors are in [-1, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from engines.errors import UserError
from trainer.config import TrainConfig
from trainer.networks.patches import CHANNELS, PATCH, from_patches, to_patches
from trainer.training.distributed import Fabric

Generator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps (packed, plate) to (picture, mask): see `trainer.networks.load`."""


@dataclass(frozen=True, slots=True)
class ChainState:
    """What a chain hands from one frame to the next."""

    figure: Tensor
    """B 48 h w: the figure of the frame before."""
    picture: Tensor
    """B 48 h w: the generator's output for it."""


class MovedPartsBatch(NamedTuple):
    """`realtime.references.inputs.MovedParts` of B chains."""

    coordinates: Tensor
    """B L h w."""
    picture: Tensor
    """B 48 h w."""
    flow: Tensor
    """B 2 h w, in pixels."""


def pack_inputs(figure: Tensor, past: ChainState, parts: MovedPartsBatch | None = None) -> Tensor:
    """The generator's input for one frame: the only place that knows what is in it, and in which order.

    Args:
        figure: B 48 h w, the frame's.
        past: what the chains hand over from the frame before.
        parts: of the frame, for a generator with references.

    Returns:
        B 144 h w, or B 144+L h w with parts.
    """
    if parts is None:
        inputs = [figure, past.figure, past.picture]
    else:
        inputs = [figure, parts.coordinates, parts.picture, warp(past.picture, parts.flow)]
    return torch.cat(inputs, dim=1).contiguous(memory_format=torch.channels_last)


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Pictures fetched from where a flow says, bilinearly: in training what `PastMover` does live.

    Args:
        picture: B 48 h w.
        flow: B 2 h w, offsets in pixels, x and y.
    """
    pixels = from_patches(picture).float()
    height, width = pixels.shape[2:]
    offsets = F.interpolate(flow, scale_factor=PATCH, mode="bilinear", align_corners=False)
    y, x = (torch.arange(side, device=flow.device, dtype=torch.float32) for side in (height, width))
    grid_x = (x + offsets[:, 0]) * (2 / (width - 1)) - 1
    grid_y = (y[:, None] + offsets[:, 1]) * (2 / (height - 1)) - 1
    grid = torch.stack([grid_x, grid_y], dim=3)
    return to_patches(F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=True))


class RecurrentGenerator:
    """A generator that is fed its own outputs, frame after frame; training and validation both run it.

    Args:
        plate: B or 1, 48 h w.
        past: what the first frame follows.
        temporal: without it every frame follows `past`.
    """

    def __init__(self, generator: Generator, plate: Tensor, past: ChainState, *, temporal: bool) -> None:
        self.past = past
        self._generator, self._plate, self._temporal = generator, plate, temporal

    def step(self, figure: Tensor, parts: MovedPartsBatch | None = None) -> tuple[Tensor, Tensor]:
        """Render the next frame of a figure, B 48 h w: the picture and the mask, both B 48 h w."""
        picture, mask = self._generator(pack_inputs(figure, self.past, parts), self._plate)
        if self._temporal:
            self.past = ChainState(figure, picture)
        return picture, mask


class PersistentChains:
    """The state of all N chains, h w each, between the steps that they take part in.

    Processes share the chains: each holds those that fall to it in every batch. `blank` is the value of a figure with
    nobody in it.

    Raises:
        UserError: a chain would not always fall to the same process.
    """

    def __init__(self, size: tuple[int, int], blank: float, config: TrainConfig, fabric: Fabric) -> None:
        if fabric.world_size > 1 and config.chains % config.batch:
            raise UserError(f"With several processes chains must be a multiple of batch, {config.batch}.")
        self._blank, self._config, self._fabric = blank, config, fabric
        shape = (config.chains, CHANNELS, *size)
        self._figures, self._pictures = (torch.zeros(shape, device=fabric.device) for _ in range(2))

    def get(self, chains: Sequence[int], restart: Tensor, plate: Tensor) -> ChainState:
        """What B chains go on from; where `restart`, B bool, that is a blank figure and the plate, B 48 h w."""
        new = restart[:, None, None, None]
        rows = list(chains)
        return ChainState(
            torch.where(new, self._blank, self._figures[rows]), torch.where(new, plate, self._pictures[rows])
        )

    def put(self, chains: Sequence[int], state: ChainState) -> None:
        """Keep the state of B chains for their next step, without its gradient."""
        rows = list(chains)
        self._figures[rows], self._pictures[rows] = state.figure, state.picture.detach()

    def state_dict(self) -> dict[str, Any]:
        """The state of the chains of all processes: so all of them must call it."""
        return {"figures": self._gathered(self._figures), "pictures": self._gathered(self._pictures)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._figures, self._pictures = (state[name].to(self._fabric.device) for name in ("figures", "pictures"))

    def _gathered(self, carried: Tensor) -> Tensor:
        """N 48 h w, each chain's from the process that holds it."""
        fabric, batch = self._fabric, self._config.batch
        owners = torch.arange(len(carried), device=carried.device) % batch // (batch // fabric.world_size)
        ours = (owners == fabric.global_rank)[:, None, None, None]
        total = fabric.all_reduce(torch.where(ours, carried, 0.0), reduce_op="sum")
        assert isinstance(total, Tensor)
        return total
