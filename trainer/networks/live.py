"""Trained networks as the live renderer calls them: uint8 patches in and out, BatchNorm folded, plate built in.

[1, h, w, C] is `realtime.patches`'s layout: patches of 4x4 pixels, channels last.
"""

import copy
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from realtime.frame import Rgb
from realtime.render import NO_RESIDUAL
from trainer.networks.blocks import ConvBlock
from trainer.networks.compact import ForRgb
from trainer.networks.patches import CHANNELS, PATCH, from_bytes, to_bytes, to_patches
from trainer.networks.references import ReferenceGenerator

M = TypeVar("M", bound=nn.Module)


class LiveGenerator(nn.Module):
    """Any preset's generator, folded, with the plate, uint8 [H, W, 3], as a constant: generator.onnx.

    One that was trained without `temporal` sees in every frame what a chain begins with, whatever came before: a figure
    of `alone`, -1..1, and the plate.
    """

    plate: Tensor
    past: Tensor | None

    def __init__(self, generator: nn.Module, plate: Rgb, *, alone: float | None = None) -> None:
        super().__init__()
        self.generator = fold(generator)
        picture = from_bytes(torch.from_numpy(plate).permute(2, 0, 1)[None])
        self.register_buffer("plate", to_patches(picture).contiguous())
        past = None
        if alone is not None:
            figure = torch.full_like(self.plate, alone)
            past = torch.cat([torch.zeros_like(figure), figure, self.plate], dim=1)
        self.register_buffer("past", past)

    def forward(self, packed: Tensor) -> Tensor:
        """uint8 [1, H/4, W/4, C] to uint8 [1, H/4, W/4, 48]; C as in `trainer.networks.load.packed_channels`."""
        seen = from_bytes(packed.permute(0, 3, 1, 2))
        if self.past is not None:
            is_figure = torch.arange(seen.shape[1]) < CHANNELS
            seen = seen * is_figure[:, None, None].float() + self.past
        picture, _ = self.generator(seen, self.plate)
        return to_bytes(picture).permute(0, 2, 3, 1)


class LiveReferenceGenerator(nn.Module):
    """A generator with references, folded, up to its outputs: `realtime.references.blend` makes the picture of them."""

    def __init__(self, generator: ReferenceGenerator) -> None:
        super().__init__()
        self.generator = fold(generator)

    def forward(self, packed: Tensor) -> Tensor:
        """uint8 [1, H/4, W/4, 144+L] to uint8 [1, H/4, W/4, 96]."""
        return to_bytes(self.generator.decide(from_bytes(packed.permute(0, 3, 1, 2)))).permute(0, 2, 3, 1)


class LiveFace(nn.Module):
    """Any preset's face network, folded: face.onnx."""

    def __init__(self, face: nn.Module) -> None:
        super().__init__()
        self.face = fold(face)

    def forward(self, packed: Tensor) -> Tensor:
        """uint8 [1, F/4, F/4, 96] to uint8 [1, F/4, F/4, 48]; 128 means no residual."""
        residual = self.face(from_bytes(packed.permute(0, 3, 1, 2)))
        return torch.clamp(residual * 127 + (NO_RESIDUAL + 0.5), 0, 255).to(torch.uint8).permute(0, 2, 3, 1)


class FaceEngine:
    """An `engines.engine.Engine` that runs a face network in torch, so that `FaceRenderer` can use it in training."""

    def __init__(self, face: nn.Module, side_px: int, device: torch.device) -> None:
        self._network, self._device = LiveFace(face), device
        h = side_px // PATCH
        self.inputs = {"packed": np.zeros((1, h, h, 2 * CHANNELS), np.uint8)}
        self.outputs = {"residual": np.zeros((1, h, h, CHANNELS), np.uint8)}

    @torch.no_grad()
    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        packed = torch.from_numpy(self.inputs["packed"]).to(self._device)
        self.outputs["residual"][...] = self._network(packed).cpu().numpy()


def fold(network: M) -> M:
    """A copy in eval mode, BatchNorms folded into the convolutions before them, weights stored in half precision."""
    folded = copy.deepcopy(network).eval()
    for block in folded.modules():
        if isinstance(block, ConvBlock):
            convolution, norm = block[0], block[1]
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            block[0] = fuse_conv_bn_eval(convolution, norm)
            block[1] = nn.Identity()
        for name, child in block.named_children():
            if isinstance(child, ForRgb):
                setattr(block, name, _threefold(PATCH * PATCH))
    for module in folded.modules():
        if isinstance(module, nn.Conv2d):
            module.weight = nn.Parameter(module.weight.half(), requires_grad=False)
            parametrize.register_parametrization(module, "weight", _Float(), unsafe=True)
    return folded


def _threefold(channels: int) -> nn.Conv2d:
    """`ForRgb` as a convolution, which engines run faster than the reshaping it otherwise becomes: 1.5 of 27 ms."""
    convolution = nn.Conv2d(channels, 3 * channels, 1, bias=False)
    convolution.weight = nn.Parameter(torch.eye(channels).repeat_interleave(3, dim=0)[:, :, None, None])
    return convolution


class _Float(nn.Module):
    """Computes in float32 with a weight that is stored as float16."""

    def forward(self, stored: Tensor) -> Tensor:
        return stored.float()
