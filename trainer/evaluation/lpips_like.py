"""A perceptual distance after LPIPS (Zhang et al., 2018), not calibrated: read it as "LPIPS-like".

As in LPIPS the features are scaled to length 1 at every place, and squared differences are summed over channels. What
differs: the network is the VGG16 that is shipped, with the Oxford group's weights, and without conv5. The channels of
LPIPS's linear heads belong to another VGG16, which torchvision trained from scratch: here they are worth no more than
the same numbers in any order (docs/log.md). So each layer has its head's mean.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.training.perceptual import Vgg16

HEADS = (0.108219, 0.069206, 0.068418, 0.100628)
"""Mean of lin0 .. lin3 in weights/v0.1/vgg.pth of the PyPI package lpips 0.1.4 (BSD-2-Clause)."""


class LpipsLike:
    """Compares pictures; 0 for equal ones. Other people's LPIPS of the same pictures is near it, no more."""

    def __init__(self) -> None:
        self._vgg = Vgg16()

    @torch.inference_mode()
    def __call__(self, a: Tensor, b: Tensor) -> float:
        """Compare two pictures, both 1 3 H W, RGB, -1..1, at least 8x8."""
        assert a.shape == b.shape == (1, 3, *a.shape[2:]), f"{tuple(a.shape)} against {tuple(b.shape)}"
        distance = torch.zeros(())
        for features, weight in zip(self._vgg.features(torch.cat([a, b])), HEADS, strict=True):
            x, y = F.normalize(features, dim=1, eps=1e-10)
            distance += weight * (x - y).square().sum(dim=0).mean()
        return float(distance)
