"""Generators with references: they paint, keep their past, copy the moved parts, or leave the background.

Inputs of one step, as 4x4 patches side by side (channels): figure 48 | limb coordinates L | moved parts 48 | moved
past 48. Outputs: paint 48 | mask 16 | keep 16 | copy 16. Live `realtime.references.blend` makes the picture of them: in
bytes that takes a tenth of the time that engines need for it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from realtime.references.blend import OUTPUTS, PIXELS
from trainer.networks.compact import CompactTrunk
from trainer.networks.patches import CHANNELS, from_patches, to_patches
from trainer.networks.pix2pixhd import GlobalGenerator


class ReferenceGenerator(nn.Module):
    """What both families have in common: the blend of what their networks compute."""

    def decide(self, packed: Tensor) -> Tensor:
        """B 144+L h w to the outputs B 96 h w, all in [-1, 1]."""
        raise NotImplementedError

    def forward(self, packed: Tensor, plate: Tensor) -> tuple[Tensor, Tensor]:
        """Render one frame.

        Args:
            packed: B 144+L h w in [-1, 1].
            plate: B or 1, 48 h w in [-1, 1].

        Returns:
            The picture B 48 h w in [-1, 1] and the mask B 48 h w in 0..1.
        """
        paint, *shares = torch.split(self.decide(packed), [CHANNELS, PIXELS, PIXELS, PIXELS], dim=1)
        mask, keep, copy = ((share.repeat_interleave(3, dim=1) + 1) / 2 for share in shares)
        parts, past = packed[:, -2 * CHANNELS : -CHANNELS], packed[:, -CHANNELS:]
        person = keep * past + (1 - keep) * paint
        person = copy * parts + (1 - copy) * person
        return mask * person + (1 - mask) * plate, mask


class CompactReferenceGenerator(ReferenceGenerator):
    """On the compact trunk.

    Args:
        coordinates: L.
        widths, blocks: of the trunk.
    """

    def __init__(self, coordinates: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.trunk = CompactTrunk(3 * CHANNELS + coordinates, OUTPUTS, widths, blocks)
        # Half open, so that at first all ways are learnt: what is not shown gets no gradient.
        assert self.trunk.head.bias is not None
        with torch.no_grad():
            self.trunk.head.bias[CHANNELS:] = torch.tensor([0.5, -0.5, -0.5]).repeat_interleave(PIXELS)

    def decide(self, packed: Tensor) -> Tensor:
        """B 144+L h w to the outputs B 96 h w, all in [-1, 1]."""
        return torch.tanh(self.trunk(packed).float())


class GlobalReferenceGenerator(ReferenceGenerator):
    """On pix2pixHD's global generator, which looks at whole pixels and takes figure, parts and past.

    Args:
        network: B 9 H W to B 6 H W in [-1, 1].
    """

    def __init__(self, network: GlobalGenerator) -> None:
        super().__init__()
        self.network = network

    def decide(self, packed: Tensor) -> Tensor:
        """B 144+L h w to the outputs B 96 h w, all in [-1, 1]."""
        pictures = packed[:, :CHANNELS], packed[:, -2 * CHANNELS : -CHANNELS], packed[:, -CHANNELS:]
        out = self.network(torch.cat([from_patches(each) for each in pictures], dim=1)).float()
        return torch.cat([to_patches(each) for each in torch.split(out, [3, 1, 1, 1], dim=1)], dim=1)
