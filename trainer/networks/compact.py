"""The compact networks of the `live` preset: pix2pixHD's shape (encoder, residual trunk, decoder) at a quarter of the
resolution, with additive skips.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainer.networks.blocks import ConvBlock, ResidualBlock, Up
from trainer.networks.patches import CHANNELS, PATCH

DILATIONS = ((1, 2), (4, 2))
"""Of the blocks at 1/16, in turn: the receptive field is half a person's height, as far as a shadow falls."""

PIXELS = PATCH * PATCH
"""Of a patch."""


class CompactTrunk(nn.Module):
    """B c_in h w to B c_out h w: stages at 1/4, 1/8 and 1/16 of the picture.

    Args:
        c_in, c_out: channels of the input and of the head.
        widths: channels of the three stages.
        blocks: residual blocks at 1/4 (decoder only), at 1/8 (on either side) and at 1/16.
    """

    def __init__(self, c_in: int, c_out: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        (c4, c8, c16), (n4, n8, n16) = widths, blocks
        self.stem = ConvBlock(c_in, c4, kernel=1)
        self.down8 = nn.Sequential(ConvBlock(c4, c8, stride=2), *(ResidualBlock(c8) for _ in range(n8)))
        self.down16 = nn.Sequential(
            ConvBlock(c8, c16, stride=2), *(ResidualBlock(c16, DILATIONS[i % 2]) for i in range(n16))
        )
        self.up8 = Up(c16, c8)
        self.blocks8 = nn.Sequential(*(ResidualBlock(c8) for _ in range(n8)))
        self.up4 = Up(c8, c4)
        self.blocks4 = nn.Sequential(*(ResidualBlock(c4) for _ in range(n4)))
        self.relu = nn.ReLU()
        self.head = nn.Conv2d(c4, c_out, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """B c_in h w to B c_out h w."""
        at4 = self.stem(x)
        at8 = self.down8(at4)
        y = self.blocks8(self.relu(self.up8(self.down16(at8)) + at8))
        y = self.blocks4(self.relu(self.up4(y) + at4))
        out: Tensor = self.head(y)
        return out


class ForRgb(nn.Module):
    """Every channel three times in a row."""

    def forward(self, x: Tensor) -> Tensor:
        """B C h w to B 3C h w."""
        return x.repeat_interleave(3, dim=1)


class CompactGenerator(nn.Module):
    """From figure, previous figure and previous output to the next output; where the mask is 0, that is the plate."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.trunk = CompactTrunk(3 * CHANNELS, CHANNELS + PIXELS, widths, blocks)
        self.for_rgb: nn.Module = ForRgb()

    def forward(self, packed: Tensor, plate: Tensor) -> tuple[Tensor, Tensor]:
        """Render one frame.

        Args:
            packed: B 144 h w in [-1, 1]: figure, previous figure, previous output, each as 48 patch channels.
            plate: B or 1, 48 h w in [-1, 1].

        Returns:
            The picture B 48 h w in [-1, 1] and the mask B 48 h w in 0..1.
        """
        rgb, mask = self.trunk(packed).float().split((CHANNELS, PIXELS), dim=1)
        # Above one half at first: where the plate shows, the paint has no gradient.
        mask = self.for_rgb(torch.sigmoid(mask + 1))
        return mask * torch.tanh(rgb) + (1 - mask) * plate, mask


class CompactFace(nn.Module):
    """From a head's figure and picture to a residual: EDN's face generator on the compact trunk."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.trunk = CompactTrunk(2 * CHANNELS, CHANNELS, widths, blocks)
        nn.init.zeros_(self.trunk.head.weight)  # no residual at first

    def forward(self, packed: Tensor) -> Tensor:
        """B 96 h w in [-1, 1] (figure, picture) to the residual B 48 h w in [-1, 1]."""
        return torch.tanh(self.trunk(packed).float())
