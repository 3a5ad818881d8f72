"""Optimizer, moving average, learning-rate schedule, and a step that is refused if it is not finite."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from trainer.config import TrainConfig
from trainer.training.distributed import Fabric

CLIP_NORM = 5.0
"""Largest norm of a generator's gradient."""


class Stateful(Protocol):
    """A module, an optimizer, or whatever else has a state to save."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that its next step depends on."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Go on where `state_dict` was taken."""


class DivergedError(ArithmeticError):
    """A loss or a gradient is not finite; no weight was changed by it."""


class Trainable(Protocol):
    """What `optimizer_step` changes."""

    @property
    def network(self) -> nn.Module:
        """Its weights have gradients."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Of those weights."""


class TrainedNetwork:
    """A network with its optimizer, Adam with the betas usual for GANs, and its learning-rate schedule."""

    def __init__(self, network: nn.Module, learning_rate: float, config: TrainConfig, fabric: Fabric) -> None:
        self.network = network
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._forward = fabric.setup_module(network)
        self.optimizer = torch.optim.Adam(network.parameters(), learning_rate, (0.5, 0.999), fused=True)
        self._learning_rate, self._schedule = learning_rate, config.lr_schedule

    def __call__(self, *inputs: Tensor) -> Any:
        """Run the network; in training mode its gradients are averaged over all processes."""
        return self._forward(*inputs)

    def set_learning_rate(self, progress: float, lr_scale: float) -> None:
        """Follow the schedule; `progress` is 0..1 of the training, `lr_scale` multiplies the rate."""
        set_learning_rate(self.optimizer, lr_scale * self._learning_rate, progress, self._schedule)

    def state_dict(self) -> dict[str, Any]:
        """Weights and the optimizer's state."""
        return save_states({"network": self.network, "optimizer": self.optimizer})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        load_states({"network": self.network, "optimizer": self.optimizer}, state)


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a network's weights and BatchNorm statistics; its decay rises to `decay`."""

    def update(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return current
        return average.lerp(current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return AveragedModel(network, avg_fn=update, use_buffers=True)


def optimizer_step(fabric: Fabric, loss: Tensor, *trainables: Trainable, clip: float = math.inf) -> None:
    """One step of all optimizers on the mean of all processes' losses, each network's gradient clipped to norm `clip`.

    Raises:
        DivergedError: the loss or a gradient is not finite, in any process. All weights are as they were.
    """
    for each in trainables:
        each.optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    norms = [
        nn.utils.get_total_norm([weight.grad for weight in each.network.parameters() if weight.grad is not None])
        for each in trainables
    ]
    everywhere, steepest = means(fabric, {"loss": loss})["loss"], max(map(float, norms))
    if not math.isfinite(everywhere + sum(map(float, norms))):
        raise DivergedError(f"loss {everywhere:.3g}, gradient {steepest:.3g}")
    for each, norm in zip(trainables, norms, strict=True):
        nn.utils.clip_grads_with_norm_(each.network.parameters(), clip, norm)
        each.optimizer.step()


def means(fabric: Fabric, losses: Mapping[str, Tensor]) -> dict[str, float]:
    """The losses' means over all processes."""
    values = fabric.all_reduce(torch.stack([loss.detach() for loss in losses.values()]), reduce_op="mean")
    assert isinstance(values, Tensor)
    return dict(zip(losses, values.tolist(), strict=True))


def save_states(parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """The parts' states by their names."""
    return {name: part.state_dict() for name, part in parts.items()}


def load_states(parts: Mapping[str, Stateful], state: Mapping[str, Any]) -> None:
    """Load what `save_states` returned."""
    for name, part in parts.items():
        part.load_state_dict(state[name])


def set_learning_rate(
    optimizer: torch.optim.Optimizer, rate: float, progress: float, schedule: Literal["cosine", "linear"] = "cosine"
) -> None:
    """Set `rate` for the first half of the training, then less and less, down to 2 % of it; `progress` is 0..1."""
    late = max(0.0, 2 * progress - 1)
    left = (1 + math.cos(math.pi * late)) / 2 if schedule == "cosine" else 1 - late
    for group in optimizer.param_groups:
        group["lr"] = rate * (0.02 + 0.98 * left)
