"""Going down the gradient: optimizer, average, learning rate, and a step that follows nothing that is not finite."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from trainer.training.fabric import Fabric

CLIP = 5.0
"""Norm of a generator's gradient, at most."""

Trainable = tuple[nn.Module, torch.optim.Optimizer]
"""A network and what moves it."""


class DivergedError(ArithmeticError):
    """A loss or a gradient is not finite; the weights have not felt it."""


def adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    """Adam with the GAN's usual betas."""
    return torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), fused=True)


def average(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a network and its BatchNorm statistics; short at first, to start quickly."""

    def move(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return current
        return average.lerp(current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return AveragedModel(network, avg_fn=move, use_buffers=True)


def optimizer_step(fabric: Fabric, loss: Tensor, *learners: Trainable, clip: float = math.inf) -> None:
    """One step of all learners down the gradient of the mean of all processes' losses, each norm limited to `clip`.

    Raises:
        DivergedError: the loss or a gradient is not finite, in any process. All weights are as they were.
    """
    for _, optimizer in learners:
        optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    norms = [
        nn.utils.get_total_norm([parameter.grad for parameter in network.parameters() if parameter.grad is not None])
        for network, _ in learners
    ]
    everywhere, steepest = means(fabric, {"loss": loss})["loss"], max(map(float, norms))
    if not math.isfinite(everywhere + sum(map(float, norms))):
        raise DivergedError(f"loss {everywhere:.3g}, gradient {steepest:.3g}")
    for (network, optimizer), norm in zip(learners, norms, strict=True):
        nn.utils.clip_grads_with_norm_(network.parameters(), clip, norm)
        optimizer.step()


def means(fabric: Fabric, losses: Mapping[str, Tensor]) -> dict[str, float]:
    """The losses' means over all processes, as numbers."""
    values = fabric.all_reduce(torch.stack([loss.detach() for loss in losses.values()]), reduce_op="mean")
    assert isinstance(values, Tensor)
    return dict(zip(losses, values.tolist(), strict=True))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float, done: float, fall: str = "cosine") -> None:
    """Constant for the first half of the training, then a cosine or a line down to 2 %; `done` is 0..1."""
    late = max(0.0, 2 * done - 1)
    left = (1 + math.cos(math.pi * late)) / 2 if fall == "cosine" else 1 - late
    for group in optimizer.param_groups:
        group["lr"] = rate * (0.02 + 0.98 * left)
