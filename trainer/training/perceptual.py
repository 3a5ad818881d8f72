"""How different two pictures look to a network that has learnt to see.

Letters: B pictures, H W pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engines.errors import UserError
from engines.files import sha256

WEIGHTS = Path(__file__).parents[1] / "networks" / "vgg16.safetensors"
"""Made by `scripts/convert_vgg16.py`; origin and licence in NOTICE."""

BLOCKS = (
    ("conv1_1", "conv1_2"),
    ("conv2_1", "conv2_2"),
    ("conv3_1", "conv3_2", "conv3_3"),
    ("conv4_1", "conv4_2", "conv4_3"),
)
"""A maximum over 2x2 pixels lies between the blocks."""

CHANNELS = (64, 128, 256, 512)
"""Of each block's features."""

MEAN = (122.67892, 116.66877, 104.00699)
"""R G B, subtracted from 0..255: what the weights were trained with."""

MAGNITUDES = (75.0, 67.0, 12.0, 0.70)
"""Mean activation of each layer, over frames of two people at 128x128 and 256x256; the mean at either size lies within
20 % of it. So a constant serves, and unlike the truth's own mean it cannot come near zero."""

WEIGHT_PER_LAYER = (1 / 16, 1 / 8, 1 / 4, 1.0)
"""*Everybody Dance Now* weighs five layers 1/32, 1/16, 1/8, 1/4, 1: the same without its shallowest."""

VGG19_SHA256 = "dcbb9e9d"
"""The first digits of the file's SHA-256, which torchvision puts into its name."""

VGG19_LAYERS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
VGG19_AFTER_POOL = (5, 10, 19, 28)
"""Numbers of torchvision's `features`; the features compared are those after the first of each block."""


class Vgg16(nn.Module):
    """The first ten convolutions of VGG16 (Simonyan and Zisserman, 2014), frozen.

    The weights are buffers: no optimizer finds them, and no checkpoint stores them. No layer acts differently in
    training.

    Args:
        weights: safetensors file with `conv1_1.weight`, `conv1_1.bias` .. `conv4_3.bias`.

    Raises:
        UserError: the file is missing or is not such a file.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        super().__init__()
        for name, tensor in _load(weights).items():
            layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
            value = tensor.float().contiguous(memory_format=layout)
            self.register_buffer(name.replace(".", "_"), value, persistent=False)
        self.register_buffer("shift", 127.5 - torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """What the network sees in pictures.

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
        for block in BLOCKS:
            if found:
                x = F.max_pool2d(x, 2)
            for name in block:
                weight, bias = self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            found.append(x)
        return found


class Vgg19(nn.Module):
    """The first thirteen convolutions of VGG19 with the five layers that *Everybody Dance Now* compares.

    Args:
        weights: torchvision's `vgg19-dcbb9e9d.pth`, ImageNet's.

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
        """B 3 H W in -1..1, H and W at least 16, to relu1_1, relu2_1, relu3_1, relu4_1, relu5_1."""
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


class PerceptualLoss(nn.Module):
    """Distance of a network's features: L1 per layer, by the layer's usual magnitude, weighted mean over layers.

    0 for equal pictures; with VGG16, 0.1 means that the features differ by a tenth of their usual size.

    Args:
        network: sees.
        scales: what the L1 of each layer is multiplied with.
    """

    def __init__(self, network: Vgg16 | Vgg19, scales: Sequence[float]) -> None:
        super().__init__()
        self.network, self._scales = network, tuple(scales)

    def forward(self, output: Tensor, truth: Tensor) -> Tensor:
        """Compare pictures; both B 3 H W, RGB, -1..1. Returns a float32 scalar; only `output` receives a gradient."""
        return self.compare(output, truth)[0]

    def compare(self, output: Tensor, truth: Tensor, *, texture: bool = False) -> tuple[Tensor, Tensor]:
        """The same, and, if wanted, the loss of the textures, else 0: L1 of the Gram matrices of the features, which
        know what there is but not where (Gatys, Ecker and Bethge, 2015).
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
    """B C H W to the mean products of any two channels, B C C."""
    flat = features.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def load_perceptual(vgg19: Path | None = None) -> PerceptualLoss:
    """The perceptual loss of the built-in VGG16, or of the paper's VGG19 if its weights are given."""
    if vgg19 is not None:
        return PerceptualLoss(Vgg19(vgg19), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0))
    total = sum(WEIGHT_PER_LAYER)
    return PerceptualLoss(Vgg16(), [w / m / total for w, m in zip(WEIGHT_PER_LAYER, MAGNITUDES, strict=True)])


def _load(weights: Path) -> dict[str, Tensor]:
    if not weights.is_file():
        raise UserError(f"The perceptual network {weights} is missing: install bodydouble again.")
    try:
        tensors = load_file(weights)
    except SafetensorError as error:
        raise UserError(
            f"The perceptual network {weights} cannot be read ({error}): install bodydouble again."
        ) from error
    shapes: dict[str, tuple[int, ...]] = {}
    channels_in = 3
    for block, channels in zip(BLOCKS, CHANNELS, strict=True):
        for name in block:
            shapes |= {f"{name}.weight": (channels, channels_in, 3, 3), f"{name}.bias": (channels,)}
            channels_in = channels
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
        raise UserError(f"{weights} does not hold the convolutions of VGG16: install bodydouble again.")
    return tensors
