"""Pictures as networks take them: floats in [-1, 1], in 4x4 patches laid out as by `realtime.patches.to_patches`."""

import numpy as np
import torch
from torch import Tensor

from realtime.frame import Rgb
from realtime.patches import CHANNELS, PATCH

__all__ = ["CHANNELS", "PATCH", "from_bytes", "from_patches", "from_rgb", "to_bytes", "to_patches", "to_rgb"]


def to_patches(pictures: Tensor) -> Tensor:
    """B 3 H W to B 48 h w; channels in the order (row, column, RGB)."""
    b, c, height, width = pictures.shape
    h, w = height // PATCH, width // PATCH
    return pictures.reshape(b, c, h, PATCH, w, PATCH).permute(0, 3, 5, 1, 2, 4).reshape(b, PATCH * PATCH * c, h, w)


def from_patches(patches: Tensor) -> Tensor:
    """B 48 h w to B 3 H W."""
    b, _, h, w = patches.shape
    return patches.reshape(b, PATCH, PATCH, 3, h, w).permute(0, 3, 4, 1, 5, 2).reshape(b, 3, h * PATCH, w * PATCH)


def from_bytes(pictures: Tensor) -> Tensor:
    """uint8 0..255 to float [-1, 1]."""
    return pictures.float() / 127.5 - 1


def to_bytes(pictures: Tensor) -> Tensor:
    """Float [-1, 1] to uint8 0..255, rounded."""
    return torch.clamp((pictures + 1) * 127.5 + 0.5, 0, 255).to(torch.uint8)


def from_rgb(picture: Rgb) -> Tensor:
    """uint8 H W 3 to float 1 3 H W in [-1, 1]."""
    return from_bytes(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None])


def to_rgb(picture: Tensor) -> Rgb:
    """Float 1 3 H W in [-1, 1], on any device, to uint8 H W 3, rounded."""
    rgb: Rgb = to_bytes(picture)[0].permute(1, 2, 0).cpu().numpy()
    return rgb
