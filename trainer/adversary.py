"""The generator's adversary: a discriminator with its own optimizer, that trains and judges in one call."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from trainer.config import TrainConfig
from trainer.losses import discriminator_loss, feature_matching, lsgan
from trainer.networks.discriminator import MultiScaleDiscriminator


class Adversary:
    """A multi-scale discriminator on pictures with their figures beside them.

    Args:
        c_in: channels of figures and pictures together.
        scales: how many sizes it judges at.
        weight: of both its losses.
    """

    def __init__(self, c_in: int, scales: int, config: TrainConfig, *, weight: float = 1.0) -> None:
        self._config, self._weight = config, weight
        self.network = MultiScaleDiscriminator(c_in, config.ndf, scales).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = adam(self.network, config.discriminator_rate)

    def judge(self, figures: Tensor, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Train on one batch, then judge it for the generator.

        Args:
            figures, fake, real: B C H W in [-1, 1]; frames side by side as channels. The gradient flows to `fake`.

        Returns:
            The generator's weighted losses "gan" and "fm", and the discriminator's own "d", detached.
        """
        fakes, reals = (
            torch.cat([figures, pictures], dim=1).contiguous(memory_format=torch.channels_last)
            for pictures in (fake, real)
        )
        self.network.requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            real_verdicts = self.network(reals)
            loss = discriminator_loss(real_verdicts, self.network(fakes.detach()))
        descend(self.optimizer, loss)
        self.network.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16):
            verdicts = self.network(fakes)
        return {
            "gan": self._weight * self._config.adversarial_weight * lsgan(verdicts, 1.0),
            "fm": self._weight * self._config.matching_weight * feature_matching(verdicts, real_verdicts),
            "d": loss.detach(),
        }


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


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, clip: Iterable[nn.Parameter] = ()) -> None:
    """One step down the gradient; the gradients of `clip` are limited to a norm of 5 together."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(clip, 5.0)
    optimizer.step()


def set_rate(optimizer: torch.optim.Optimizer, rate: float, done: float, fall: str = "cosine") -> None:
    """Constant for the first half of the training, then a cosine or a line down to 2 %; `done` is 0..1."""
    late = max(0.0, 2 * done - 1)
    left = (1 + math.cos(math.pi * late)) / 2 if fall == "cosine" else 1 - late
    for group in optimizer.param_groups:
        group["lr"] = rate * (0.02 + 0.98 * left)
