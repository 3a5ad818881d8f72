"""The smallest training there is."""

from pathlib import Path

import torch

from realtime.frame import Rgb
from trainer.config import CompactConfig, TrainConfig
from trainer.export.onnx import export_generator
from trainer.networks.load import build_generator

SMALL = CompactConfig(widths=(16, 16, 16), blocks=(1, 1, 1))
TRAINING = TrainConfig(
    batch=2,
    chains=4,
    window_px=32,
    perceptual_px=32,
    ndf=8,
    mean_chain_frames=8,
    references=False,
    generator=SMALL,
)


def figure_generator(plate: Rgb, graph: Path) -> Path:
    """Write a generator that sees figures alone, without references, as nobody has trained it; returns its path."""
    torch.manual_seed(0)
    export_generator(build_generator(SMALL, background=True), plate, graph)
    return graph
