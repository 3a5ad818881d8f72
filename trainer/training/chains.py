"""Chains: generators that run on their own previous outputs, and where the chains of a training have got to.

Letters: N chains, B of which take part in a step; h w as in `trainer.networks`. All tensors are in [-1, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engines.errors import UserError
from trainer.config import TrainConfig
from trainer.networks.patches import CHANNELS
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


def pack_inputs(figure: Tensor, past: ChainState) -> Tensor:
    """The generator's input for one frame, B 144 h w: the only place that knows what is in it, and in which order.

    Args:
        figure: B 48 h w, the frame's.
        past: what the chains hand over from the frame before.
    """
    return torch.cat([figure, past.figure, past.picture], dim=1).contiguous(memory_format=torch.channels_last)


class RecurrentGenerator:
    """A generator that is fed its own outputs, frame after frame; training and validation both run it.

    Args:
        generator: the network.
        plate: B or 1, 48 h w.
        past: what the first frame follows.
        temporal: without it every frame follows `past`.
    """

    def __init__(self, generator: Generator, plate: Tensor, past: ChainState, *, temporal: bool) -> None:
        self.past = past
        self._generator, self._plate, self._temporal = generator, plate, temporal

    def step(self, figure: Tensor) -> tuple[Tensor, Tensor]:
        """Render the next frame of a figure, B 48 h w: the picture and the mask, both B 48 h w."""
        picture, mask = self._generator(pack_inputs(figure, self.past), self._plate)
        if self._temporal:
            self.past = ChainState(figure, picture)
        return picture, mask


class PersistentChains:
    """The state of all N chains between the steps that they take part in.

    Args:
        size: h and w.
        blank: value of a figure with nobody in it.
        config: how many chains there are, and take part in a step.
        fabric: its processes share the chains: each holds those that fall to it in every batch.

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
        """What B chains go on from.

        Args:
            chains: their numbers.
            restart: B bool, those that start anew: with a blank figure, and the plate as the previous output.
            plate: B 48 h w.
        """
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
