"""From trained networks to ONNX graphs with uint8 pictures at both ends."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from engines.files import write_file
from realtime.frame import Rgb
from realtime.patches import CHANNELS, PATCH
from trainer.networks.live import LiveFace, LiveGenerator, LiveReferenceGenerator
from trainer.networks.load import packed_channels
from trainer.networks.references import ReferenceGenerator

OPSET = 20


def export_generator(
    generator: nn.Module,
    plate: Rgb,
    path: Path,
    *,
    alone: float | None = None,
) -> None:
    """Write generator.onnx for a plate uint8 [H, W, 3]; `alone` as in `LiveGenerator`."""
    height, width, _ = plate.shape
    packed = (height // PATCH, width // PATCH, packed_channels(references=isinstance(generator, ReferenceGenerator)))
    live = (
        LiveReferenceGenerator(generator)
        if isinstance(generator, ReferenceGenerator)
        else LiveGenerator(generator, plate, alone=alone)
    )
    export_graph(live, {"packed": _bytes(packed)}, "picture", path)


def export_face(face: nn.Module, side_px: int, path: Path) -> None:
    """Write face.onnx for head patches of `side_px`."""
    packed = (side_px // PATCH, side_px // PATCH, 2 * CHANNELS)
    export_graph(LiveFace(face), {"packed": _bytes(packed)}, "residual", path)


def _bytes(packed: tuple[int, int, int]) -> Tensor:
    return torch.zeros((1, *packed), dtype=torch.uint8)


def export_graph(network: nn.Module, inputs: Mapping[str, Tensor], output: str, path: Path) -> None:
    """Write a network's graph for inputs by name, with one output."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # not to hear which packages it might also know
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the exporter about itself
        program = torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
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
    write_file(path, model.SerializeToString())
