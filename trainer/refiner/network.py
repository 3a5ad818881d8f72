"""The refiner's network: a small dense U-Net over a crop and its prior, without anything that int8 would not like."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.pose.estimation.refined_points import STRIDE
from trainer.networks.blocks import ConvBlock, ResidualBlock


@dataclass(frozen=True, slots=True)
class RefinerShape:
    """What distinguishes the refiner of a body from that of a hand."""

    points: int
    side_px: int
    widths: tuple[int, int, int]
    """Channels at 1/4, 1/8 and 1/16 of the crop."""

    @property
    def grid(self) -> int:
        """Cells along a side of the prior and the output."""
        return self.side_px // STRIDE


class RefinerNetwork(nn.Module):
    """Pictures B 3 S S and priors B P g g to B 2P+1 g g, as `refined_points.decode` reads it; pictures are 0..1."""

    def __init__(self, shape: RefinerShape) -> None:
        super().__init__()
        c4, c8, c16 = shape.widths
        self.shape = shape
        self.stem = ConvBlock(12, c4, stride=2)
        self.join = ConvBlock(c4 + shape.points, c4)
        self.down8 = nn.Sequential(ConvBlock(c4, c8, stride=2), ResidualBlock(c8))
        self.down16 = nn.Sequential(ConvBlock(c8, c16, stride=2), ResidualBlock(c16), ResidualBlock(c16))
        self.up8, self.at8 = nn.Conv2d(c16, c8, 1), ResidualBlock(c8)
        self.up4, self.at4 = nn.Conv2d(c8, c4, 1), ConvBlock(c4, c4)
        self.head = nn.Conv2d(c4, 2 * shape.points + 1, 1)

    def forward(self, picture: Tensor, prior: Tensor) -> Tensor:
        """See the class."""
        at4 = self.join(torch.cat([self.stem(F.pixel_unshuffle(picture, 2)), prior], dim=1))
        at8 = self.down8(at4)
        at8 = self.at8(F.relu(at8 + F.interpolate(self.up8(self.down16(at8)), scale_factor=2.0)))
        at4 = self.at4(F.relu(at4 + F.interpolate(self.up4(at8), scale_factor=2.0)))
        output: Tensor = self.head(at4)
        return output


def read_points(output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The twin of `refined_points.decode`: xy B P 2 (0..1), log deviations B P, presence logits B."""
    _, channels, grid, _ = output.shape
    points = (channels - 1) // 2
    flat = output.flatten(2)
    weight = flat[:, :points].softmax(dim=2)
    cells = (torch.arange(grid, device=output.device) + 0.5) / grid
    place = weight.view(*weight.shape[:2], grid, grid)
    xy = torch.stack([place.sum(dim=2) @ cells, place.sum(dim=3) @ cells], dim=2)
    return xy, (weight * flat[:, points:-1]).sum(dim=2), flat[:, -1].mean(dim=1)
