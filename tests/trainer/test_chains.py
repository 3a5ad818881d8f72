"""What a generator is fed, and what chains carry from step to step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.render import Renderer
from tests.support.standing_pose import standing
from tests.support.tiny_training import TRAINING
from trainer.config import Machine
from trainer.networks.patches import from_rgb, to_bytes, to_patches
from trainer.training.chains import ChainState, PersistentChains, RecurrentGenerator
from trainer.training.distributed import Fabric, assemble

RNG = np.random.default_rng(0)
PLATE, *FIGURES = (RNG.integers(0, 256, (16, 24, 3)).astype(np.uint8) for _ in range(4))


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return assemble(Machine(accelerator="cpu"), TRAINING.batch)


class NegativeEngine:
    """Shows the figure's negative, and records what it is fed."""

    def __init__(self) -> None:
        self.inputs = {"packed": np.zeros((1, 4, 6, 144), np.uint8)}
        self.outputs = {"picture": np.zeros((1, 4, 6, 48), np.uint8)}
        self.seen: list[NDArray[np.uint8]] = []

    def run(self) -> None:
        self.seen.append(self.inputs["packed"].copy())
        self.outputs["picture"][..., :48] = 255 - self.inputs["packed"][..., :48]
        self.outputs["picture"][..., 48:64] = 255  # nothing but paint, if it decides


def patches(picture: Rgb) -> Tensor:
    return to_patches(from_rgb(picture))


@pytest.mark.parametrize("blank", [0, 255])
def test_training_feeds_a_generator_just_what_it_is_fed_live(blank: int) -> None:
    engine = NegativeEngine()
    renderer = Renderer(engine, None, PLATE, blank=blank)
    for figure in FIGURES:
        renderer.step(Figure(figure, standing()))
    fed: list[Tensor] = []

    def negative(packed: Tensor, plate: Tensor) -> tuple[Tensor, Tensor]:
        assert torch.equal(plate, patches(PLATE))
        fed.append(packed)
        return -packed[:, :48], torch.ones_like(plate)

    past = ChainState(patches(np.full_like(PLATE, blank)), patches(PLATE))
    generator = RecurrentGenerator(negative, patches(PLATE), past, temporal=True)
    for figure in FIGURES:
        generator.step(patches(figure))
    for ours, live in zip(fed, engine.seen, strict=True):
        assert np.array_equal(to_bytes(ours).permute(0, 2, 3, 1).numpy(), live)


def test_chains_go_on_from_their_own_state_or_start_anew(fabric: Fabric) -> None:
    chains = PersistentChains((4, 6), -1.0, replace(TRAINING, chains=4, batch=2), fabric)
    plate, going_on = torch.rand(2, 48, 4, 6), torch.tensor([False, False])
    state = ChainState(torch.rand(2, 48, 4, 6), torch.rand(2, 48, 4, 6, requires_grad=True))
    chains.put([1, 3], state)
    again = PersistentChains((4, 6), -1.0, replace(TRAINING, chains=4, batch=2), fabric)
    again.load_state_dict(chains.state_dict())
    for each in (chains, again):
        past = each.get([3, 1], going_on, plate)
        assert torch.equal(past.figure, state.figure.flip(0))
        assert torch.equal(past.picture, state.picture.flip(0))
        assert not past.picture.requires_grad
    fresh = chains.get([3, 1], torch.tensor([True, False]), plate)
    assert (fresh.figure[0] == -1).all()
    assert torch.equal(fresh.picture, torch.stack([plate[0], state.picture[0]]))
