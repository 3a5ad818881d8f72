"""Losses against values worked out by hand."""

from dataclasses import replace

import pytest
import torch

from engines.errors import UserError
from tests.support.tiny_training import TRAINING
from trainer.config import Machine
from trainer.training.body import BodyLosses, turns_of
from trainer.training.chain_sampler import CropRect
from trainer.training.dataset import Batch
from trainer.training.distributed import assemble
from trainer.training.losses import StepLosses, discriminator_loss, feature_matching, lsgan, weighted_l1


def scales(*values: float) -> list[list[torch.Tensor]]:
    """A scale per value: one feature of that value, and a score of it."""
    return [[torch.full((1, 2, 2, 2), value), torch.full((1, 1, 2, 2), value)] for value in values]


def test_lsgan_sums_over_scales() -> None:
    assert float(lsgan(scales(0.5, 0.0), 1.0)) == pytest.approx(0.25 + 1.0)


def test_discriminator_loss_is_halved() -> None:
    assert float(discriminator_loss(scales(1.0, 0.5), scales(0.0, 0.5))) == pytest.approx((0.25 + 0.25) / 2)


def test_feature_matching_averages_over_scales_and_skips_the_score() -> None:
    fake, real = scales(0.5, 2.0), scales(0.25, 1.0)
    fake[0][-1] += 100
    assert float(feature_matching(fake, real)) == pytest.approx((0.25 + 1.0) / 2)


def test_feature_matching_leaves_the_truth_alone() -> None:
    fake, real = scales(0.5), scales(0.25)
    for tensor in (fake[0][0], real[0][0]):
        tensor.requires_grad_(True)
    torch.autograd.backward(feature_matching(fake, real))
    assert fake[0][0].grad is not None
    assert real[0][0].grad is None


def test_weighted_l1() -> None:
    output, truth = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.0])
    assert float(weighted_l1(output, truth, torch.tensor([2.0, 1.0]))) == pytest.approx((1.0 + 1.0) / 2)


def test_the_generator_s_losses_count_whatever_they_are_called() -> None:
    losses = StepLosses({"d": torch.tensor(2.0), "head d": torch.tensor(3.0)}, {"own": torch.tensor(100.0)})
    assert float(losses.total) == 5
    assert losses.means(assemble(Machine(accelerator="cpu"), 1)) == {"d": 2, "head d": 3, "own": 100}


def test_merged_losses_keep_their_side_and_get_a_prefix() -> None:
    one = StepLosses({"gan": torch.tensor(1.0)}, {"d": torch.tensor(10.0)})
    both = one.merge(one, "image ")
    assert both.generator.keys() == {"gan", "image gan"}
    assert both.discriminator.keys() == {"d", "image d"}
    assert float(both.total) == 2
    with pytest.raises(AssertionError, match="share a name"):
        one.merge(StepLosses({"d": torch.tensor(1.0)}))


def test_crops_take_turns_whoever_holds_them() -> None:
    config = replace(TRAINING, batch=6, chains=6, crops=4)
    turns = [turns_of(step, config, share=(0, 1)) for step in range(3)]
    assert turns == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]]
    for step, whole in enumerate(turns):
        shares = [turns_of(step, config, share=(part, 3)) for part in range(3)]
        assert sorted(2 * part + chain for part, chains in enumerate(shares) for chain in chains) == sorted(whole)
    with pytest.raises(UserError, match="crops must be at least 1 and at most batch, 6, not 7"):
        replace(config, crops=7)


def test_several_crops_are_the_mean_of_each() -> None:
    rng = torch.Generator().manual_seed(0)
    figures, truths, outputs = (torch.rand(2, 2, 3, 64, 64, generator=rng) for _ in range(3))
    batch = Batch(
        figures=figures,
        truths=truths,
        plate=truths[0],
        restart=torch.zeros(2, dtype=torch.bool),
        chains=[0, 1],
        focus=[CropRect(0, 8, 32, 32), CropRect(16, 0, 32, 32)],
        hands=[None, CropRect(8, 8, 16, 16)],
        heads=[None, None],
    )

    def losses(step: int, crops: int) -> dict[str, float]:
        config = replace(TRAINING, crops=crops, warmup_steps=9)
        found = BodyLosses(config, assemble(Machine(accelerator="cpu"), 2)).compute(
            batch, list(outputs), torch.zeros(2, 2, 48, 16, 16), step
        )
        return {name: float(loss) for name, loss in found.generator.items()}

    first, second, both = losses(0, 1), losses(1, 1), losses(0, 2)
    assert first["hand"] == 0 < second["hand"]
    for name in ("vgg", "hand"):
        assert both[name] == pytest.approx((first[name] + second[name]) / 2, rel=0.01), name
