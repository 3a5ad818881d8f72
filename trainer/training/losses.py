"""The losses of pix2pixHD (arXiv 1711.11585, section 3) as EDN uses them.

`Verdicts` are a multi-scale discriminator's features: a list per scale, the last of each the verdict per patch.
"""

import torch
from torch import Tensor

Verdicts = list[list[Tensor]]


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
