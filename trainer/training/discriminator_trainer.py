"""A discriminator with its own optimizer: trains on a batch and returns the generator's adversarial losses."""

import torch
from torch import Tensor

from trainer.config import TrainConfig
from trainer.networks.discriminator import MultiScaleDiscriminator
from trainer.training.fabric import Fabric
from trainer.training.losses import StepLosses, discriminator_loss, feature_matching, lsgan
from trainer.training.optimize import adam, optimizer_step


class DiscriminatorTrainer:
    """A multi-scale discriminator on pictures with their figures beside them.

    Args:
        c_in: channels of figures and pictures together.
        scales: how many sizes it judges at.
        config: widths, weights and the learning rate.
        fabric: where it runs.
        weight: of both its losses.
    """

    def __init__(self, c_in: int, scales: int, config: TrainConfig, fabric: Fabric, *, weight: float = 1.0) -> None:
        self._config, self._fabric, self._weight = config, fabric, weight
        self.network = MultiScaleDiscriminator(c_in, config.ndf, scales).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._verdicts = fabric.setup_module(self.network)
        self.optimizer = adam(self.network, config.discriminator_learning_rate)

    def step(self, figures: Tensor, fake: Tensor, real: Tensor, *, scale: float = 1.0) -> StepLosses:
        """Train the discriminator one step, then compute the generator's losses with it.

        Args:
            figures, fake, real: B C H W in [-1, 1]; frames side by side as channels. The gradient flows to `fake`.
            scale: multiplies all losses; the mean over all processes is 1.

        Returns:
            The generator's losses "gan" and "fm", and the discriminator's "d".

        Raises:
            DivergedError: the discriminator's own loss is not finite.
        """
        fakes, reals = (
            torch.cat([figures, pictures], dim=1).contiguous(memory_format=torch.channels_last)
            for pictures in (fake, real)
        )
        self.network.requires_grad_(True)
        real_verdicts = self._verdicts(reals)
        loss = scale * discriminator_loss(real_verdicts, self._verdicts(fakes.detach()))
        optimizer_step(self._fabric, loss, (self.network, self.optimizer))
        self.network.requires_grad_(False)
        verdicts = self._verdicts(fakes)
        weight = scale * self._weight
        generator = {
            "gan": weight * self._config.adversarial_weight * lsgan(verdicts, 1.0),
            "fm": weight * self._config.feature_matching_weight * feature_matching(verdicts, real_verdicts),
        }
        return StepLosses(generator, {"d": loss.detach()})
