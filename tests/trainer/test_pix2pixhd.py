"""The paper's networks: shapes, and the parameter counts of its table."""

import pytest
import torch
from torch import nn

from trainer.networks.discriminator import PatchDiscriminator
from trainer.networks.pix2pixhd import GlobalGenerator, LocalEnhancer


def millions(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def test_parameters_are_the_papers() -> None:
    with torch.device("meta"):
        coarse = GlobalGenerator(6)
        fine = LocalEnhancer(GlobalGenerator(6), 6)
        face = GlobalGenerator(6, downsamplings=3, blocks=5)
        discriminator = PatchDiscriminator(12, 64)
    assert millions(coarse) == pytest.approx(182.45, abs=0.02)
    assert millions(fine) == pytest.approx(182.72, abs=0.02)
    assert millions(face) == pytest.approx(26.72, abs=0.02)
    assert millions(discriminator) == pytest.approx(2.77, abs=0.02)


def test_shapes_and_range() -> None:
    torch.manual_seed(0)
    coarse = GlobalGenerator(6, ngf=8, downsamplings=2, blocks=1)
    x = torch.rand(1, 6, 32, 64) * 2 - 1
    assert coarse(x).shape == (1, 3, 32, 64)
    fine = LocalEnhancer(coarse, 6, ngf=4, blocks=1)
    picture = fine(x)
    assert picture.shape == (1, 3, 32, 64)
    assert picture.abs().max() <= 1
    assert {p.data_ptr() for p in coarse.features.parameters()} <= {p.data_ptr() for p in fine.parameters()}
