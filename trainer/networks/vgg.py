"""VGG16 and VGG19 (Simonyan and Zisserman, 2014), frozen, as feature extractors of perceptual losses and metrics.

Letters: B pictures, H W pixels. Both have one method `features`: B 3 H W, RGB, -1..1, to a list of activations. The
weights are buffers: no optimizer finds them, and no checkpoint stores them. No layer acts differently in training.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.errors import UserError
from engines.files import sha256
from trainer.networks.load import load_pretrained

VGG16_WEIGHTS = Path(__file__).with_name("vgg16.safetensors")
"""Made by `scripts/convert_vgg16.py`; origin and licence in NOTICE."""

VGG16_BLOCKS = (
    ("conv1_1", "conv1_2"),
    ("conv2_1", "conv2_2"),
    ("conv3_1", "conv3_2", "conv3_3"),
    ("conv4_1", "conv4_2", "conv4_3"),
)
"""The convolutions; a 2x2 max-pooling lies between the blocks."""

VGG16_WIDTHS = (64, 128, 256, 512)
"""Channels of each block."""

VGG16_MEAN = (122.67892, 116.66877, 104.00699)
"""R G B, subtracted from 0..255: what the weights were trained with."""

VGG19_SHA256 = "dcbb9e9d"
"""The first digits of the file's SHA-256, which torchvision puts into its name."""

VGG19_LAYERS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
VGG19_AFTER_POOL = (5, 10, 19, 28)
"""Numbers of torchvision's `features`; the features compared are those after the first of each block."""


class Vgg16(nn.Module):
    """The first ten convolutions of VGG16.

    Args:
        weights: safetensors file with `conv1_1.weight`, `conv1_1.bias` .. `conv4_3.bias`.

    Raises:
        UserError: the file is missing or is not such a file.
    """

    def __init__(self, weights: Path = VGG16_WEIGHTS) -> None:
        super().__init__()
        for name, tensor in load_pretrained(weights, _vgg16_shapes(), "VGG16").items():
            layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
            value = tensor.float().contiguous(memory_format=layout)
            self.register_buffer(name.replace(".", "_"), value, persistent=False)
        self.register_buffer("shift", 127.5 - torch.tensor(VGG16_MEAN).view(1, 3, 1, 1), persistent=False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """The activations after the last convolution of each block.

        Args:
            pictures: B 3 H W, RGB, -1..1, floating point; H and W at least 8.

        Returns:
            relu1_2 (B 64 H W), relu2_2 (B 128 H/2 W/2), relu3_3 (B 256 H/4 W/4), relu4_3 (B 512 H/8 W/8), all >= 0,
            float32, or autocast's type.
        """
        assert pictures.is_floating_point(), f"want -1..1, not {pictures.dtype}"
        _, channels, *size = pictures.shape
        assert channels == 3, f"want B 3 H W, not {tuple(pictures.shape)}"
        assert min(size) >= 8, f"want at least 8x8 pixels, not {tuple(pictures.shape)}"
        x = pictures.float() * 127.5 + self.get_buffer("shift")
        x = x.contiguous(memory_format=torch.channels_last)
        found: list[Tensor] = []
        for block in VGG16_BLOCKS:
            if found:
                x = F.max_pool2d(x, 2)
            for name in block:
                weight, bias = self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            found.append(x)
        return found


class Vgg19(nn.Module):
    """The first thirteen convolutions of VGG19, up to the last of the layers that *Everybody Dance Now* compares.

    Args:
        weights: torchvision's `vgg19-dcbb9e9d.pth`, trained on ImageNet.

    Raises:
        UserError: the file is missing or is another one.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        if not weights.is_file() or not sha256(weights).startswith(VGG19_SHA256):
            raise UserError(f"{weights} is not torchvision's vgg19-dcbb9e9d.pth: give the path of that very file.")
        state = torch.load(weights, map_location="cpu", weights_only=True)
        for index in VGG19_LAYERS:
            for kind in ("weight", "bias"):
                self.register_buffer(f"layer{index}_{kind}", state[f"features.{index}.{kind}"], persistent=False)
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of B 3 H W in -1..1, H and W at least 16."""
        x = ((pictures.float() + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("std")
        found = []
        for index in VGG19_LAYERS:
            if index in VGG19_AFTER_POOL:
                x = F.max_pool2d(x, 2)
            weight, bias = self.get_buffer(f"layer{index}_weight"), self.get_buffer(f"layer{index}_bias")
            x = F.relu(F.conv2d(x, weight, bias, padding=1))
            if index == 0 or index in VGG19_AFTER_POOL:
                found.append(x)
        return found


def _vgg16_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of all weights and biases, by the names in the file."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels_in = 3
    for block, channels in zip(VGG16_BLOCKS, VGG16_WIDTHS, strict=True):
        for name in block:
            shapes |= {f"{name}.weight": (channels, channels_in, 3, 3), f"{name}.bias": (channels,)}
            channels_in = channels
    return shapes
