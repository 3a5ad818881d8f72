"""pix2pixHD's multi-scale PatchGAN discriminator; EDN, section 3.2, gives it two successive frames at once."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """The 70x70 PatchGAN: 4x4 convolutions, InstanceNorm without affine, LeakyReLU 0.2."""

    def __init__(self, c_in: int, ndf: int) -> None:
        super().__init__()
        widths = [ndf, 2 * ndf, 4 * ndf, 8 * ndf]
        stages = [nn.Sequential(nn.Conv2d(c_in, widths[0], 4, 2, 2), nn.LeakyReLU(0.2))]
        for (before, after), stride in zip(pairwise(widths), (2, 2, 1), strict=True):
            stages.append(
                nn.Sequential(
                    nn.Conv2d(before, after, 4, stride, 2),
                    nn.InstanceNorm2d(after),
                    nn.LeakyReLU(0.2),
                )
            )
        stages.append(nn.Sequential(nn.Conv2d(widths[-1], 1, 4, 1, 2)))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """B c_in H W to the features of every layer, of which the last is the score of every patch."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class MultiScaleDiscriminator(nn.Module):
    """The same discriminator at 1, 1/2, 1/4 ... of the size, each with its own weights."""

    def __init__(self, c_in: int, ndf: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(c_in, ndf) for _ in range(scales))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """B c_in H W to the features of every layer of every scale, the largest first."""
        scales = []
        for discriminator in self.scales:
            scales.append(discriminator(x))
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return scales
