"""Networks: shapes, layouts, and that what is exported is what was trained."""

from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch

from engines.backends import BackendName, Precision
from engines.errors import UserError
from engines.load import load_engine
from realtime import patches as live_patches
from realtime.references.limb_frames import CHANNELS as COORDINATES
from trainer.export.onnx import export_face, export_generator
from trainer.networks.compact import CompactFace, CompactGenerator, ForRgb
from trainer.networks.discriminator import MultiScaleDiscriminator, PatchDiscriminator
from trainer.networks.live import LiveFace, LiveGenerator, LiveReferenceGenerator, fold
from trainer.networks.patches import from_bytes, from_patches, to_bytes, to_patches
from trainer.networks.references import CompactReferenceGenerator

RNG = np.random.default_rng(0)

N = TypeVar("N", bound=torch.nn.Module)


def seasoned(network: N) -> N:
    """With BatchNorm statistics that are not the initial ones."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) * 0.1
            module.running_var = torch.rand(module.num_features) + 0.5
    return network.eval()


@pytest.fixture(scope="module")
def generator() -> CompactGenerator:
    return seasoned(CompactGenerator((16, 32, 48), (1, 1, 2)))


def test_patches_are_laid_out_as_live() -> None:
    picture = RNG.integers(0, 256, (16, 24, 3)).astype(np.uint8)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None]
    patches = to_patches(tensor)
    assert np.array_equal(patches[0].permute(1, 2, 0).numpy(), live_patches.to_patches(picture))
    assert torch.equal(from_patches(patches), tensor)


def test_bytes_round_trip() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(from_bytes(every)), every)


def test_the_room_shows_where_the_mask_is_zero(generator: CompactGenerator) -> None:
    packed, plate = torch.rand(2, 144, 16, 16) * 2 - 1, torch.rand(1, 48, 16, 16) * 2 - 1
    picture, mask = generator(packed, plate)
    assert picture.shape == mask.shape == (2, 48, 16, 16)
    assert picture.abs().max() <= 1
    bias = generator.trunk.head.bias
    assert bias is not None
    with torch.no_grad():
        bias[48:] -= 100
        hidden, _ = generator(packed, plate)
        bias[48:] += 100
    assert torch.allclose(hidden, plate.expand(2, -1, -1, -1), atol=1e-5)


def test_gradients_flow_back_through_the_previous_output(generator: CompactGenerator) -> None:
    past = torch.rand(1, 48, 16, 16, requires_grad=True)
    picture, _ = generator(torch.cat([torch.zeros(1, 96, 16, 16), past], dim=1), torch.zeros(1, 48, 16, 16))
    picture.sum().backward()
    assert past.grad is not None
    assert past.grad.abs().sum() > 0


@pytest.mark.parametrize("coordinates", [None, 8])
def test_folding_changes_nothing_but_rounding(coordinates: int | None) -> None:
    shape = (16, 32, 48), (1, 1, 2)
    network = seasoned(
        CompactGenerator(*shape) if coordinates is None else CompactReferenceGenerator(coordinates, *shape)
    )
    packed, plate = torch.rand(1, 144 + (coordinates or 0), 16, 16) * 2 - 1, torch.zeros(1, 48, 16, 16)
    folded = fold(network)
    assert not [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm2d | ForRgb)]
    with torch.no_grad():
        assert torch.allclose(folded(packed, plate)[0], network(packed, plate)[0], atol=0.01)


@pytest.mark.parametrize(
    ("backend", "precision", "least_db"), [("openvino", "f32", 60), ("torch", "f32", 60), ("openvino", "bf16", 35)]
)
def test_every_engine_equals_the_network(
    generator: CompactGenerator, tmp_path: Path, backend: BackendName, precision: Precision, least_db: float
) -> None:
    plate = RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    export_generator(generator, plate, tmp_path / "generator.onnx")
    export_generator(generator, plate, tmp_path / "alone.onnx", alone=-1.0)
    parts = seasoned(CompactReferenceGenerator(COORDINATES, (16, 16, 16), (1, 1, 1)))
    export_generator(parts, plate, tmp_path / "parts.onnx")
    face = seasoned(CompactFace((16, 16, 16), (1, 1, 1)))
    export_face(face, 32, tmp_path / "face.onnx")
    networks = {
        "generator": LiveGenerator(generator, plate),
        "alone": LiveGenerator(generator, plate, alone=-1.0),
        "parts": LiveReferenceGenerator(parts),
        "face": LiveFace(face),
    }
    for file, live in ((f"{name}.onnx", network) for name, network in networks.items()):
        engine = load_engine(tmp_path / file, backend=backend, precision=precision)
        packed = RNG.integers(0, 256, engine.inputs["packed"].shape).astype(np.uint8)
        engine.inputs["packed"][...] = packed
        engine.run()
        (output,) = engine.outputs.values()
        with torch.no_grad():
            want = live(torch.from_numpy(packed)).numpy()
        error = np.square(output.astype(float) - want).mean()
        assert error <= 255**2 / 10 ** (least_db / 10), f"{file}: mean squared error {error:.2f}"
        assert want.std() > 1, "a flat picture proves nothing"


def test_without_time_only_the_figure_counts(generator: CompactGenerator) -> None:
    plate = RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    packed = RNG.integers(0, 256, (2, 1, 16, 16, 144)).astype(np.uint8)
    packed[1, ..., :48] = packed[0, ..., :48]
    first, other = packed.copy()
    first[..., 48:96], first[..., 96:] = 0, live_patches.to_patches(plate)
    with torch.no_grad():
        alone = LiveGenerator(generator, plate, alone=-1.0)
        got = [alone(torch.from_numpy(each)) for each in packed]
        want = LiveGenerator(generator, plate)(torch.from_numpy(first))
    assert torch.equal(got[0], got[1])
    assert torch.equal(got[0], want)
    assert not torch.equal(LiveGenerator(generator, plate)(torch.from_numpy(other)), want)


def test_graphs_tell_nothing_of_the_machine_they_were_made_on(generator: CompactGenerator, tmp_path: Path) -> None:
    export_generator(generator, np.zeros((64, 64, 3), np.uint8), tmp_path / "generator.onnx")
    graph = (tmp_path / "generator.onnx").read_bytes()
    for path in (Path(__file__).parents[2], Path(torch.__file__).parents[1], Path.home()):
        assert str(path).encode() not in graph


def test_a_graph_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"not a graph")
    for backend in ("openvino", "torch"):
        with pytest.raises(UserError, match=r"x\.onnx"):
            load_engine(tmp_path / "x.onnx", backend=backend)
    with pytest.raises(UserError, match="missing"):
        load_engine(tmp_path / "y.onnx")


def test_wrong_backends_and_precisions_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").touch()
    for arguments in (
        {"backend": "cuda"},
        {"precision": "f8"},
        {"backend": "torch", "precision": "bf16"},
        {"threads": 0},
    ):
        with pytest.raises(ValueError, match=str(next(reversed(arguments.values())))):
            load_engine(tmp_path / "x.onnx", **arguments)


def test_patch_discriminator_is_the_papers() -> None:
    network = PatchDiscriminator(12, 64)
    features = network(torch.zeros(1, 12, 64, 64))
    assert [feature.shape[1] for feature in features] == [64, 128, 256, 512, 1]
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(2.77e6, rel=0.01)


def test_scales_halve_the_size() -> None:
    large, small = MultiScaleDiscriminator(6, 8, 2)(torch.zeros(1, 6, 64, 64))
    assert large[0].shape[-1] == 33
    assert small[0].shape[-1] == 17
