"""Losses against values worked out by hand."""

import pytest
import torch

from trainer.training.losses import discriminator_loss, feature_matching, lsgan, weighted_l1


def verdicts(*values: float) -> list[list[torch.Tensor]]:
    """A scale per value: one feature of that value, and a verdict of it."""
    return [[torch.full((1, 2, 2, 2), value), torch.full((1, 1, 2, 2), value)] for value in values]


def test_lsgan_sums_over_scales() -> None:
    assert float(lsgan(verdicts(0.5, 0.0), 1.0)) == pytest.approx(0.25 + 1.0)


def test_discriminator_loss_is_halved() -> None:
    assert float(discriminator_loss(verdicts(1.0, 0.5), verdicts(0.0, 0.5))) == pytest.approx((0.25 + 0.25) / 2)


def test_feature_matching_averages_over_scales_and_skips_the_verdict() -> None:
    fake, real = verdicts(0.5, 2.0), verdicts(0.25, 1.0)
    fake[0][-1] += 100
    assert float(feature_matching(fake, real)) == pytest.approx((0.25 + 1.0) / 2)


def test_feature_matching_leaves_the_truth_alone() -> None:
    fake, real = verdicts(0.5), verdicts(0.25)
    for tensor in (fake[0][0], real[0][0]):
        tensor.requires_grad_(True)
    torch.autograd.backward(feature_matching(fake, real))
    assert fake[0][0].grad is not None
    assert real[0][0].grad is None


def test_weighted_l1() -> None:
    output, truth = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.0])
    assert float(weighted_l1(output, truth, torch.tensor([2.0, 1.0]))) == pytest.approx((1.0 + 1.0) / 2)
