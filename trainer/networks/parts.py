"""The compact generator with references: it may paint, keep its past, copy the moved parts, or leave the background.

Inputs of one step, as 4x4 patches side by side (channels): figure 48 | limb coordinates L | moved parts 48 | moved
past 48. The last two are pictures that the output is blended from.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainer.networks.compact import CompactTrunk, ForRgb
from trainer.networks.patches import CHANNELS, PATCH

PIXELS = PATCH * PATCH
PAINT, MASK, KEEP, COPY = CHANNELS, PIXELS, PIXELS, PIXELS
"""Channels of the trunk's head, in this order."""


class PartsGenerator(nn.Module):
    """Figure, limb coordinates, moved parts and moved past to the next output.

    Args:
        coordinates: L.
        widths, blocks: of the trunk.
    """

    def __init__(self, coordinates: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.trunk = CompactTrunk(3 * CHANNELS + coordinates, PAINT + MASK + KEEP + COPY, widths, blocks)
        self.for_rgb: nn.Module = ForRgb()

    def forward(self, packed: Tensor, plate: Tensor) -> tuple[Tensor, Tensor]:
        """Render one frame.

        Args:
            packed: B 144+L h w in [-1, 1].
            plate: B or 1, 48 h w in [-1, 1].

        Returns:
            The picture B 48 h w in [-1, 1] and the mask B 48 h w in 0..1.
        """
        rgb, mask, keep, copy = self.trunk(packed).float().split((PAINT, MASK, KEEP, COPY), dim=1)
        # Above one half at first: where the background shows, nothing is learnt of the person. Painting is preferred
        # at first, too: a blend that only copies has no gradient for the paint.
        mask = self.for_rgb(torch.sigmoid(mask + 1))
        shares = torch.softmax(torch.stack([torch.ones_like(keep), keep, copy]), dim=0)
        paint, keep, copy = (self.for_rgb(share) for share in shares)
        parts, past = packed[:, -2 * CHANNELS : -CHANNELS], packed[:, -CHANNELS:]
        person = paint * torch.tanh(rgb) + keep * past + copy * parts
        return mask * person + (1 - mask) * plate, mask
