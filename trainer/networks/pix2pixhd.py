"""pix2pixHD's generators (arXiv 1711.11585, section 3.2), as *Everybody Dance Now* uses them.

ngf: width of the first layer. InstanceNorm without affine, reflection padding, 7x7 convolutions at both ends.
`GlobalGenerator` and `LocalEnhancer` map pictures to pictures; the last classes wrap them to map patches to patches.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.patches import CHANNELS, from_patches, to_patches


class ResnetBlock(nn.Module):
    """x + two 3x3 convolutions of x."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1), *_conv(c, c, 3, padding=0), nn.ReflectionPad2d(1), *_conv(c, c, 3, padding=0)[:-1]
        )

    def forward(self, x: Tensor) -> Tensor:
        """B C H W to the same."""
        out: Tensor = x + self.body(x)
        return out


class GlobalGenerator(nn.Module):
    """The coarse generator: encoder, residual blocks at the bottom, decoder.

    Args:
        c_in: channels of the input, e.g. 6 for a figure and the previous output.
        ngf: channels of the first layer, doubled at each downsampling.
        downsamplings: how often the size is halved; H and W must be multiples of 2 to this power.
        blocks: residual blocks.
        c_out: channels of the output, 3 for a picture.
    """

    def __init__(self, c_in: int, ngf: int = 64, downsamplings: int = 4, blocks: int = 9, c_out: int = 3) -> None:
        super().__init__()
        widths = [ngf * 2**i for i in range(downsamplings + 1)]
        self.features = nn.Sequential(
            nn.ReflectionPad2d(3),
            *_conv(c_in, ngf, 7, padding=0),
            *(layer for a, b in pairwise(widths) for layer in _conv(a, b, 3, stride=2)),
            *(ResnetBlock(widths[-1]) for _ in range(blocks)),
            *(layer for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True) for layer in _up(a, b)),
        )
        self.head = _head(ngf, c_out)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """B c_in H W to B c_out H W in [-1, 1]."""
        picture: Tensor = self.head(self.features(x))
        return picture


class LocalEnhancer(nn.Module):
    """The fine generator: the global one at half the size, without its head, and one enhancer around it."""

    def __init__(self, coarse: GlobalGenerator, c_in: int, ngf: int = 32, blocks: int = 3, c_out: int = 3) -> None:
        super().__init__()
        self.features = coarse.features
        self.down = nn.Sequential(
            nn.ReflectionPad2d(3), *_conv(c_in, ngf, 7, padding=0), *_conv(ngf, 2 * ngf, 3, stride=2)
        )
        self.up = nn.Sequential(*(ResnetBlock(2 * ngf) for _ in range(blocks)), *_up(2 * ngf, ngf))
        self.head = _head(ngf, c_out)
        for part in (self.down, self.up, self.head):
            part.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """B c_in H W to B c_out H W in [-1, 1]; the coarse generator's ngf must be twice this one's."""
        half = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        picture: Tensor = self.head(self.up(self.down(x) + self.features(half)))
        return picture


class WholePictureGenerator(nn.Module):
    """EDN's generator: from figure, in 0..1, and previous output to the whole picture; the plate is ignored."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, packed: Tensor, plate: Tensor) -> tuple[Tensor, Tensor]:
        """Packed B 144 h w and plate to picture and mask, all ones: see `CompactGenerator`."""
        figure, _, past = torch.split(packed, CHANNELS, dim=1)
        picture = to_patches(self.network(torch.cat([(from_patches(figure) + 1) / 2, from_patches(past)], 1)).float())
        return picture, torch.ones_like(picture)


class CompositeGenerator(nn.Module):
    """A generator whose inputs are also the previous figure, and which composites the person over the plate."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, packed: Tensor, plate: Tensor) -> tuple[Tensor, Tensor]:
        """Packed B 144 h w and plate to picture and mask: see `CompactGenerator`."""
        pictures = torch.cat([from_patches(part) for part in torch.split(packed, CHANNELS, dim=1)], 1)
        rgb, mask = torch.split(self.network(pictures).float(), [3, 1], dim=1)
        mask = to_patches(((mask + 1) / 2).expand(-1, 3, -1, -1))
        return mask * to_patches(rgb) + (1 - mask) * plate, mask


class PaperFace(nn.Module):
    """EDN's face generator: from a head's figure and picture to a residual."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, packed: Tensor) -> Tensor:
        """B 96 h w in [-1, 1] (figure, picture) to the residual B 48 h w in [-1, 1]."""
        figure, picture = torch.split(packed, CHANNELS, dim=1)
        return to_patches(self.network(torch.cat([(from_patches(figure) + 1) / 2, from_patches(picture)], 1)).float())


def _conv(c_in: int, c_out: int, kernel: int, *, stride: int = 1, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, kernel, stride, padding), nn.InstanceNorm2d(c_out), nn.ReLU()]


def _up(c_in: int, c_out: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(c_in, c_out, 3, 2, 1, output_padding=1), nn.InstanceNorm2d(c_out), nn.ReLU()]


def _head(c: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(c, c_out, 7), nn.Tanh())


def _initialise(module: nn.Module) -> None:
    """N(0, 0.02), as in the paper's code."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
