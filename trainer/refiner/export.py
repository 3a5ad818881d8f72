"""From a trained refiner to its ONNX graph and int8 graph."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.openvino import quantize
from trainer.export.onnx import export_graph
from trainer.refiner.augment import example
from trainer.refiner.network import RefinerNetwork
from trainer.refiner.people import Crops
from trainer.refiner.train import SHAPES

_CALIBRATED_ON = 300
"""Examples, half of them as cameras see them, half as training did."""


class LiveRefiner(nn.Module):
    """A refiner with pictures 1 S S 3 uint8 and priors 1 P g g."""

    def __init__(self, network: RefinerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor, prior: Tensor) -> Tensor:
        """See `RefinerNetwork`."""
        output: Tensor = self.network(picture.permute(0, 3, 1, 2).float() / 255, prior)
        return output


def export_refiner(run: Path, kind: str, crops: Crops, graph: Path) -> Path:
    """Write the graph of a run's averaged network, and its int8 graph, calibrated on crops.

    Returns:
        The int8 graph.
    """
    shape = SHAPES[kind]
    network = RefinerNetwork(shape)
    network.load_state_dict(torch.load(run / "network.pt", weights_only=True))
    inputs = {
        "picture": torch.zeros((1, shape.side_px, shape.side_px, 3), dtype=torch.uint8),
        "prior": torch.zeros((1, shape.points, shape.grid, shape.grid)),
    }
    export_graph(LiveRefiner(network), inputs, "points", graph)
    dice = np.random.default_rng(0)
    calibration: list[NDArray[Any] | Mapping[str, NDArray[Any]]] = []
    for n in dice.choice(len(crops.person), _CALIBRATED_ON):
        prior = crops.seen[n] if dice.random() < 0.5 and np.isfinite(crops.seen[n]).all() else crops.xy[n, 1]
        each = example(
            crops.pictures[n], crops.xy[n], prior, crops.visibility[n], shape, dice, plain=bool(dice.random() < 0.5)
        )
        calibration.append({"picture": each.picture[None], "prior": each.prior[None]})
    return quantize(graph, calibration)
