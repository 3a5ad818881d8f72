"""From trained networks to ONNX graphs with uint8 pictures at both ends."""

import copy
import logging
import warnings
from pathlib import Path
from typing import TypeVar

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from realtime.frame import Rgb
from realtime.render import CHANNELS, NO_RESIDUAL, PATCH
from trainer.networks.blocks import ConvBlock
from trainer.networks.patches import from_bytes, to_bytes, to_patches

OPSET = 20
M = TypeVar("M", bound=nn.Module)


class LiveGenerator(nn.Module):
    """`CompactGenerator` as the renderer calls it, the plate inside."""

    plate: Tensor

    def __init__(self, generator: nn.Module, plate: Rgb) -> None:
        super().__init__()
        self.generator = fold(generator)
        picture = from_bytes(torch.from_numpy(plate).permute(2, 0, 1)[None])
        self.register_buffer("plate", to_patches(picture).contiguous())

    def forward(self, packed: Tensor) -> Tensor:
        """uint8 [1, H/4, W/4, 144] to uint8 [1, H/4, W/4, 48]."""
        picture, _ = self.generator(from_bytes(packed.permute(0, 3, 1, 2)), self.plate)
        return to_bytes(picture).permute(0, 2, 3, 1)


class LiveFace(nn.Module):
    """`CompactFace` as the renderer calls it."""

    def __init__(self, face: nn.Module) -> None:
        super().__init__()
        self.face = fold(face)

    def forward(self, packed: Tensor) -> Tensor:
        """uint8 [1, F/4, F/4, 96] to uint8 [1, F/4, F/4, 48]; 128 means no residual."""
        residual = self.face(from_bytes(packed.permute(0, 3, 1, 2)))
        return torch.clamp(residual * 127 + (NO_RESIDUAL + 0.5), 0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def export_generator(generator: nn.Module, plate: Rgb, path: Path) -> None:
    """Write generator.onnx for a plate uint8 [H, W, 3]."""
    height, width, _ = plate.shape
    _export(LiveGenerator(generator, plate), (height // PATCH, width // PATCH, 3 * CHANNELS), "picture", path)


def export_face(face: nn.Module, side_px: int, path: Path) -> None:
    """Write face.onnx for head patches of `side_px`."""
    _export(LiveFace(face), (side_px // PATCH, side_px // PATCH, 2 * CHANNELS), "residual", path)


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
    for module in folded.modules():
        if isinstance(module, nn.Conv2d):
            module.weight = nn.Parameter(module.weight.half(), requires_grad=False)
            parametrize.register_parametrization(module, "weight", _Float(), unsafe=True)
    return folded


class _Float(nn.Module):
    """Computes in float32 with a weight that is stored as float16."""

    def forward(self, stored: Tensor) -> Tensor:
        return stored.float()


def _export(network: nn.Module, shape: tuple[int, int, int], output: str, path: Path) -> None:
    draft = path.with_suffix(".new.onnx")
    packed = torch.zeros((1, *shape), dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # not to hear which packages it might also know
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the exporter about itself
        program = torch.onnx.export(
            network.eval(),
            (packed,),
            input_names=["packed"],
            output_names=[output],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, model.graph):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")  # where in whose file system each node was made
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, draft)
    draft.replace(path)
