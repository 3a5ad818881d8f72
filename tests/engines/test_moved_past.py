"""The past of generators with references on a device: the same pictures as on the host."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engines.engine import Bytes
from engines.nvidia.moved_past import Mover, blend
from engines.nvidia.torch_engine import TorchDeviceEngine
from engines.parity import psnr_db
from engines.recurrent import MovingEngine
from engines.torch_eager import EagerEngine, OnnxModule
from realtime.engine_tools.verify import check_moving
from realtime.figure import Figure
from realtime.patches import from_patches, to_patches
from realtime.pose.figure.styles import load_style
from realtime.references import blend as host
from realtime.references.bones import limbs_of
from realtime.references.composite import PastMover, around
from realtime.references.limb_frames import LimbFrames, Window
from realtime.render import DeviceReferenceChain, ReferenceChain, Renderer
from realtime.subject_clips import SubjectClips
from tests.support.references import SIZE_PX, WIDTHS, dancer, toy_atlas
from trainer.config import CompactConfig
from trainer.export.onnx import export_generator
from trainer.networks.load import build_generator

RNG = np.random.default_rng(0)
STYLE = load_style("limbs")
CPU = torch.device("cpu")


def smooth_noise(height: int, width: int) -> Bytes:
    coarse = torch.from_numpy(RNG.uniform(0, 255, (1, 3, height // 8, width // 8)).astype(np.float32))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255)
    return np.ascontiguousarray(fine[0].permute(1, 2, 0).to(torch.uint8).numpy())


PLATE = smooth_noise(SIZE_PX, SIZE_PX)
ATLAS = toy_atlas([(0, dancer()), (9, dancer(raised_px=30))])


@pytest.mark.parametrize(
    ("before", "after"), [({}, {}), ({}, {"x": 9.5, "raised_px": 25.0}), ({"x": -40.0}, {"x": -52.0})]
)
def test_the_device_moves_as_the_host_does(before: dict[str, float], after: dict[str, float]) -> None:
    picture = smooth_noise(SIZE_PX, SIZE_PX)
    window = Window(0, 0, SIZE_PX, SIZE_PX)
    frames, flow = LimbFrames(window), np.zeros((SIZE_PX // 4, SIZE_PX // 4, 2), np.float32)
    frames.place(limbs_of(dancer(**after), WIDTHS))
    frames.flow(limbs_of(dancer(**before), WIDTHS), flow)
    expected = PastMover(picture.shape[:2]).move(picture, flow, around(frames.fields))
    patches, flows = torch.from_numpy(to_patches(picture)[None]), torch.from_numpy(flow[None])
    found = from_patches(Mover(SIZE_PX // 4, SIZE_PX // 4, CPU).move(patches, flows)[0].numpy().astype(np.uint8))
    different = np.abs(found.astype(np.int16) - expected)
    assert before == after or (expected != picture).mean() > 0.02
    assert different.max() <= 2, "OpenCV moves by 32nds of a pixel"
    assert different.mean() < 0.1


def test_a_picture_that_is_not_square() -> None:
    """Every pixel from the same distance: what the flow says, down to the edges, which repeat."""
    picture, flow = smooth_noise(16, 32), torch.tensor([3.25, -1.0]).expand(1, 4, 8, 2)
    moved = Mover(4, 8, CPU).move(torch.from_numpy(to_patches(picture)[None]), flow)
    found = from_patches(moved[0].numpy().astype(np.uint8)).astype(np.float32)
    y = np.maximum(np.arange(16) - 1, 0)[:, None]
    left, right = (picture[y, np.minimum(np.arange(32) + shift, 31)].astype(np.float32) for shift in (3, 4))
    assert np.abs(found - (0.75 * left + 0.25 * right)).max() < 0.51


def test_the_device_blends_as_the_host_does() -> None:
    output = RNG.integers(0, 256, (1, 8, 8, host.OUTPUTS)).astype(np.uint8)
    pictures = [RNG.integers(0, 256, (32, 32, 3)).astype(np.uint8) for _ in range(3)]
    expected = host.blend(output[0], from_patches(output[0, ..., : host.PAINT]), *pictures)
    found = blend(torch.from_numpy(output), *(torch.from_numpy(to_patches(each)[None]).float() for each in pictures))
    assert np.array_equal(from_patches(found[0].numpy().astype(np.uint8)), expected)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generator with references that has learnt nothing."""
    torch.manual_seed(0)
    generator = build_generator(CompactConfig(widths=(16, 16, 16), blocks=(1, 1, 1)), background=True, references=True)
    path = tmp_path_factory.mktemp("moved") / "generator.onnx"
    export_generator(generator, PLATE, path)
    return path


def on_device(graph: Path) -> TorchDeviceEngine:
    """The device's own logic, on the CPU."""
    module = OnnxModule(graph)
    return TorchDeviceEngine(module, module.inputs, module.outputs, "cpu")


def test_a_chain_on_the_device_is_that_on_the_host(graph: Path) -> None:
    host_engine, device_engine = EagerEngine(graph, 1), on_device(graph)
    assert isinstance(device_engine, MovingEngine)
    assert not isinstance(host_engine, MovingEngine)
    by_host, by_device = (Renderer(engine, None, PLATE, atlas=ATLAS) for engine in (host_engine, device_engine))
    assert isinstance(by_host._chain, ReferenceChain)
    assert isinstance(by_device._chain, DeviceReferenceChain)
    poses = [dancer(x=2.0 * step, raised_px=5.0 * step) for step in range(5)]
    for pose in (*poses, None, *poses[:2]):
        figure = Figure(STYLE.draw(pose, SIZE_PX, SIZE_PX), pose)
        one, other = by_host.step(figure), by_device.step(figure)
        assert psnr_db(one, other) > 60, "46 dB if the past stayed where it was"
        assert pose is None or (one != PLATE).mean() > 0.05


def test_verify_compares_both_chains(graph: Path) -> None:
    clips = SubjectClips([dancer(x=3.0 * step) for step in range(3)], STYLE, PLATE, ATLAS)
    check = check_moving(clips, on_device(graph), "f32")
    assert check.passed
    assert check.metrics["frames"] == 3
    assert float(check.metrics["worst_db"]) > 45
