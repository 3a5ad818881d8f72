"""From trained networks to ONNX graphs with uint8 pictures at both ends."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from engines.files import write_file
from realtime.frame import Rgb
from realtime.render import CHANNELS, PATCH
from trainer.networks.live import LiveFace, LiveGenerator, fold
from trainer.networks.patches import from_bytes, from_patches, to_bytes, to_patches

OPSET = 20


class AnySizeGenerator(nn.Module):
    """`CompactGenerator` for rooms of any size: the plate comes in."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = fold(generator)

    def forward(self, packed: Tensor, plate: Tensor) -> Tensor:
        """uint8 [1, H/4, W/4, 144] and [1, H/4, W/4, 48] to uint8 [1, H/4, W/4, 48]."""
        packed, plate = (from_bytes(patches.permute(0, 3, 1, 2)) for patches in (packed, plate))
        picture, _ = self.generator(packed, plate)
        return to_bytes(picture).permute(0, 2, 3, 1)


class PaperGenerator(nn.Module):
    """`GlobalGenerator` or `LocalEnhancer` with the renderer's patches at both ends."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, packed: Tensor) -> Tensor:
        """uint8 [1, H/4, W/4, 96] (figure, previous output) to uint8 [1, H/4, W/4, 48]."""
        figure, past = torch.chunk(from_bytes(packed.permute(0, 3, 1, 2)), 2, dim=1)
        picture = self.generator(torch.cat((from_patches(figure), from_patches(past)), dim=1))
        return to_bytes(to_patches(picture)).permute(0, 2, 3, 1)


def export_generator(generator: nn.Module, plate: Rgb, path: Path) -> None:
    """Write generator.onnx for a plate uint8 [H, W, 3]."""
    height, width, _ = plate.shape
    packed = (height // PATCH, width // PATCH, 3 * CHANNELS)
    _export(LiveGenerator(generator, plate), {"packed": packed}, "picture", path)


def export_any_size(generator: nn.Module, path: Path) -> None:
    """Write a generator whose height and width are free, in multiples of 16 pixels, and whose plate is an input."""
    inputs = {"packed": (64, 128, 3 * CHANNELS), "plate": (64, 128, CHANNELS)}
    _export(AnySizeGenerator(generator), inputs, "picture", path, multiple=4)


def export_paper(generator: nn.Module, path: Path, *, multiple_px: int) -> None:
    """Write one of the paper's generators: figure and previous output in, free height and width.

    Args:
        generator: B 6 H W to B 3 H W in [-1, 1].
        path: where to.
        multiple_px: what its height and width must be multiples of: 2 to the power of its downsamplings, at least 4.
    """
    inputs = {"packed": (64, 128, 2 * CHANNELS)}
    _export(PaperGenerator(generator), inputs, "picture", path, multiple=multiple_px // PATCH)


def export_face(face: nn.Module, side_px: int, path: Path) -> None:
    """Write face.onnx for head patches of `side_px`."""
    packed = (side_px // PATCH, side_px // PATCH, 2 * CHANNELS)
    _export(LiveFace(face), {"packed": packed}, "residual", path)


def _export(
    network: nn.Module, inputs: Mapping[str, tuple[int, int, int]], output: str, path: Path, *, multiple: int = 0
) -> None:
    """With `multiple`, height and width are free: any multiple of it."""
    free = {1: multiple * Dim("h", min=2), 2: multiple * Dim("w", min=2)} if multiple else {}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # not to hear which packages it might also know
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the exporter about itself
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)  # two inputs have the same height and width
        program = torch.onnx.export(
            network.eval(),
            tuple(torch.zeros((1, *shape), dtype=torch.uint8) for shape in inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=tuple(free for _ in inputs) if free else None,
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
    write_file(path, model.SerializeToString())
