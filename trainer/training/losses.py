"""Losses: what a training step adds up, and the terms of pix2pixHD (arXiv 1711.11585, section 3) as EDN uses them.

`Verdicts` are a multi-scale discriminator's features: a list per scale, the last of each the verdict per patch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainer.training.fabric import Fabric
from trainer.training.optimize import means

Verdicts = list[list[Tensor]]


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


def lsgan(verdicts: Verdicts, target: float) -> Tensor:
    """Least-squares GAN loss towards `target` (1 real, 0 fake), summed over scales."""
    return torch.stack([(scale[-1].float() - target).square().mean() for scale in verdicts]).sum()


def discriminator_loss(real: Verdicts, fake: Verdicts) -> Tensor:
    """Half the sum of both verdicts' losses."""
    return (lsgan(real, 1.0) + lsgan(fake, 0.0)) / 2


def feature_matching(fake: Verdicts, real: Verdicts) -> Tensor:
    """L1 between the discriminator's inner features of fake and real, summed over layers, averaged over scales."""
    scales = [
        torch.stack(
            [(f.float() - r.detach().float()).abs().mean() for f, r in zip(fs[:-1], rs[:-1], strict=True)]
        ).sum()
        for fs, rs in zip(fake, real, strict=True)
    ]
    return torch.stack(scales).mean()


def weighted_l1(output: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference under a weight of mean 1 or so."""
    return ((output - truth).abs() * weight).mean()
