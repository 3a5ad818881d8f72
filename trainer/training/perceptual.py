"""The perceptual loss (Johnson et al., 2016): distance of two pictures' features in a frozen VGG.

Letters: B pictures, C channels, H W pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.networks.vgg import Vgg16, Vgg19

MAGNITUDES = (75.0, 67.0, 12.0, 0.70)
"""Mean activation of each layer, over frames of two people at 128x128 and 256x256; the mean at either size lies within
20 % of it. So a constant serves, and unlike the truth's own mean it cannot come near zero."""

WEIGHT_PER_LAYER = (1 / 16, 1 / 8, 1 / 4, 1.0)
"""*Everybody Dance Now* weighs five layers 1/32, 1/16, 1/8, 1/4, 1: the same without its shallowest."""


class PerceptualLoss(nn.Module):
    """L1 between the features of two pictures, weighted and summed over layers; 0 for equal pictures.

    With VGG16 each layer is divided by its usual magnitude: 0.1 means that the features differ by a tenth of it.

    Args:
        network: computes the features.
        scales: what the L1 of each layer is multiplied by.
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
