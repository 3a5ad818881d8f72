"""The losses of a step, adversarial, feature-matching, L1 and perceptual, and the discriminators' training.

The terms are those of pix2pixHD (arXiv 1711.11585, section 3) as EDN uses them.

Letters: B pictures, C channels, H W pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.config import TrainConfig
from trainer.networks.discriminator import MultiScaleDiscriminator
from trainer.networks.vgg import Vgg16, Vgg19
from trainer.training.distributed import Fabric
from trainer.training.optimize import TrainedNetwork, means, optimizer_step

ScaleFeatures = list[list[Tensor]]
"""Of a multi-scale discriminator: for each scale the features of every layer, the last the score of every patch."""

MAGNITUDES = (75.0, 67.0, 12.0, 0.70)
"""Mean activation of each layer, over frames of two people at 128x128 and 256x256; the mean at either size lies within
20 % of it. So a constant serves, and unlike the truth's own mean it cannot come near zero."""

WEIGHT_PER_LAYER = (1 / 16, 1 / 8, 1 / 4, 1.0)
"""*Everybody Dance Now* weighs five layers 1/32, 1/16, 1/8, 1/4, 1: the same without its shallowest."""


@dataclass(frozen=True, slots=True)
class StepLosses:
    """The losses of one training step by the names they have in the logs; scalars."""

    generator: Mapping[str, Tensor]
    """Weighted; generators and face networks follow the gradient of their sum."""
    discriminator: Mapping[str, Tensor] = field(default_factory=dict)
    """Of the discriminators, which have made their own steps already: detached, for the logs only."""

    @property
    def total(self) -> Tensor:
        """The sum of the generator's losses."""
        return torch.stack(list(self.generator.values())).sum()

    def merge(self, other: "StepLosses", prefix: str = "") -> "StepLosses":
        """These and another one's losses, whose names get a prefix."""
        added = StepLosses(
            {f"{prefix}{name}": loss for name, loss in other.generator.items()},
            {f"{prefix}{name}": loss for name, loss in other.discriminator.items()},
        )
        assert not self._all().keys() & added._all().keys(), f"{[*self._all()]} and {[*added._all()]} share a name"
        return StepLosses({**self.generator, **added.generator}, {**self.discriminator, **added.discriminator})

    def means(self, fabric: Fabric) -> dict[str, float]:
        """All losses' means over all processes."""
        return means(fabric, self._all())

    def _all(self) -> dict[str, Tensor]:
        return {**self.generator, **self.discriminator}


def lsgan(scales: ScaleFeatures, target: float) -> Tensor:
    """Least-squares GAN loss towards `target` (1 real, 0 fake), summed over scales."""
    return torch.stack([(scale[-1].float() - target).square().mean() for scale in scales]).sum()


def discriminator_loss(real: ScaleFeatures, fake: ScaleFeatures) -> Tensor:
    """The discriminator's own LSGAN loss: half the sum of the losses of real and fake."""
    return (lsgan(real, 1.0) + lsgan(fake, 0.0)) / 2


def feature_matching(fake: ScaleFeatures, real: ScaleFeatures) -> Tensor:
    """L1 between the discriminator's inner features of fake and real, summed over layers, averaged over scales."""
    scales = [
        torch.stack(
            [(f.float() - r.detach().float()).abs().mean() for f, r in zip(fs[:-1], rs[:-1], strict=True)]
        ).sum()
        for fs, rs in zip(fake, real, strict=True)
    ]
    return torch.stack(scales).mean()


def weighted_l1(output: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """L1 with a weight for every pixel, not normalized by the weights' sum."""
    return ((output - truth).abs() * weight).mean()


class DiscriminatorTrainer(TrainedNetwork):
    """A multi-scale discriminator of pictures and their figures, its optimizer, and the losses that it gives.

    It has `c_in` channels, those of figures and pictures together; `weight` multiplies both losses of the generator.
    """

    def __init__(self, c_in: int, scales: int, config: TrainConfig, fabric: Fabric, *, weight: float = 1.0) -> None:
        network = MultiScaleDiscriminator(c_in, config.ndf, scales)
        super().__init__(network, config.discriminator_learning_rate, config, fabric)
        self._config, self._fabric, self._weight = config, fabric, weight

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
        real_features = self(reals)
        loss = scale * discriminator_loss(real_features, self(fakes.detach()))
        optimizer_step(self._fabric, loss, self)
        self.network.requires_grad_(False)
        fake_features = self(fakes)
        weight = scale * self._weight
        generator = {
            "gan": weight * self._config.adversarial_weight * lsgan(fake_features, 1.0),
            "fm": weight * self._config.feature_matching_weight * feature_matching(fake_features, real_features),
        }
        return StepLosses(generator, {"d": loss.detach()})


class PerceptualLoss(nn.Module):
    """L1 between the features of two pictures, weighted and summed over layers; 0 for equal pictures.

    `scales` multiply the L1 of each layer. With VGG16 they divide by the layer's usual magnitude: 0.1 means that the
    features differ by a tenth of it.
    """

    def __init__(self, network: Vgg16 | Vgg19, scales: Sequence[float]) -> None:
        super().__init__()
        self.network, self._scales = network, tuple(scales)

    def forward(self, output: Tensor, truth: Tensor) -> Tensor:
        """Compare pictures; both B 3 H W, RGB, -1..1. Returns a float32 scalar; only `output` receives a gradient."""
        return self.compare(output, truth)[0]

    def compare(self, output: Tensor, truth: Tensor, *, texture: bool = False) -> tuple[Tensor, Tensor]:
        """The perceptual loss as in `forward`, and the texture loss, which is 0 unless `texture`.

        The texture loss is the L1 between the features' Gram matrices (Gatys, Ecker and Bethge, 2015): it compares
        what textures there are, not where.
        """
        assert output.shape == truth.shape, f"{tuple(output.shape)} against {tuple(truth.shape)}"
        with torch.no_grad():
            wanted = self.network.features(truth)
        loss, grams = torch.zeros((), device=output.device), torch.zeros((), device=output.device)
        for a, b, scale in zip(self.network.features(output), wanted, self._scales, strict=True):
            # bfloat16 cannot hold the sum of a million activations.
            loss = loss + scale * (a - b).abs().mean(dtype=torch.float32)
            if texture:
                grams = grams + (gram(scale * a) - gram(scale * b)).abs().mean()
        return loss, grams


def gram(features: Tensor) -> Tensor:
    """Gram matrices, B C C, of features B C H W: the mean product of any two channels."""
    flat = features.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def load_perceptual(vgg19: Path | None = None) -> PerceptualLoss:
    """The perceptual loss of the built-in VGG16, or of the paper's VGG19 if the path of its weights is given."""
    if vgg19 is not None:
        return PerceptualLoss(Vgg19(vgg19), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0))
    total = sum(WEIGHT_PER_LAYER)
    return PerceptualLoss(Vgg16(), [w / m / total for w, m in zip(WEIGHT_PER_LAYER, MAGNITUDES, strict=True)])
