"""Losses against values worked out by hand."""

import pytest
import torch

from trainer.config import Machine
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
