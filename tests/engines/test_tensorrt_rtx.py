"""TensorRT-RTX plans, really built for every generation of GPUs on a machine that needs none."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch

from engines.errors import UserError
from engines.nvidia.onnx_precision import strongly_typed
from engines.torch_eager import OnnxModule
from realtime.subject import load_subject
from tests.support.fake_gpu import needs_no_gpu, needs_rtx
from trainer.config import CompactConfig, Network, Pix2PixHDConfig
from trainer.export.onnx import export_generator
from trainer.networks.load import build_generator

NETWORKS: dict[str, Network] = {
    "live": CompactConfig(widths=(16, 16, 32), blocks=(1, 1, 1)),
    "global": Pix2PixHDConfig(ngf=16, downsamplings=2, blocks=1, enhancer_blocks=0),
    "local": Pix2PixHDConfig(ngf=16, downsamplings=2, blocks=1, enhancer_blocks=1),
}
"""The paper's with few channels and blocks, or CI would take minutes."""
TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120")

pytestmark = needs_rtx


@pytest.fixture(scope="session")
def rtx() -> ModuleType:
    """The backend."""
    return importlib.import_module("engines.nvidia.tensorrt_rtx")


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The networks as `trainer export` writes them."""
    folder = tmp_path_factory.mktemp("graphs")
    torch.manual_seed(0)
    plate = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    for name, config in NETWORKS.items():
        export_generator(build_generator(config, background=name == "global"), plate, folder / f"{name}.onnx")
    return {name: folder / f"{name}.onnx" for name in NETWORKS}


@pytest.fixture(scope="session")
def plan(rtx: ModuleType) -> bytes:
    built = rtx.build(load_subject("alice").graphs[1], targets=("sm89",))
    assert isinstance(built, bytes)
    return built


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("network", ["generator", "face"])
def test_builds_alice_for_every_target(rtx: ModuleType, network: str, target: str) -> None:
    header = rtx.read_header(rtx.build(load_subject("alice").folder / f"{network}.onnx", targets=(target,)))
    assert header.targets == (target,)
    assert header.version == rtx.VERSION


@pytest.mark.parametrize("network", NETWORKS)
def test_builds_every_network_for_all_targets_at_once(rtx: ModuleType, network: str, graphs: dict[str, Path]) -> None:
    phases: set[str] = set()
    plan = rtx.build(graphs[network], progress=lambda phase, done, total: phases.add(phase) if done <= total else None)
    assert rtx.check(plan).targets == rtx.TARGETS == TARGETS
    assert "Building engine" in phases


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_in_half_precision_stay_with_f32(network: str, graphs: dict[str, Path]) -> None:
    """Computed by torch."""
    path = graphs[network]
    full, half = OnnxModule(path), OnnxModule(path, strongly_typed(path, "f16"))
    onnx.checker.check_model(strongly_typed(path, "f16"), full_check=True)
    packed = torch.randint(0, 256, full.inputs[0][1], dtype=torch.uint8, generator=torch.manual_seed(0))
    one, other = (network(packed)[0].numpy().astype(np.float32) for network in (full, half))
    assert one.shape == (1, 16, 24, 48)
    assert one.std() > 1
    assert np.abs(one - other).max() <= 1


def test_f32_is_larger_than_f16(rtx: ModuleType, plan: bytes) -> None:
    assert len(rtx.build(load_subject("alice").graphs[1], targets=("sm89",), precision="f32")) > 1.5 * len(plan)


def test_the_same_graph_gives_the_same_plan(rtx: ModuleType, plan: bytes) -> None:
    assert rtx.build(load_subject("alice").graphs[1], targets=("sm89",)) == plan


def test_damaged_and_foreign_plans_are_refused(rtx: ModuleType, plan: bytes) -> None:
    for broken, words in (
        (b"", "no TensorRT-RTX plan"),
        (b"x" * 1000, "no TensorRT-RTX plan"),
        (plan[:-1], f"has {len(plan) - 1} bytes instead of {len(plan)}"),
        (plan[:25] + b"\x06" + plan[26:], r"is of TensorRT-RTX 1\.6\..* is installed: build it again"),
    ):
        with pytest.raises(UserError, match=words):
            rtx.check(broken)
    with pytest.raises(UserError, match="only 3 bytes"):
        rtx.read_header(plan[:3])
    with pytest.raises(UserError, match="no TensorRT-RTX plan"):
        rtx.read_header(plan[1:])


@pytest.mark.parametrize("targets", [("sm90",), ("sm89", "ampere"), ()])
def test_unknown_targets_are_refused(rtx: ModuleType, targets: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=f"builds for {', '.join(TARGETS)}, not for"):
        rtx.build(load_subject("alice").graphs[1], targets=targets)


def test_unknown_operators_are_named(rtx: ModuleType, tmp_path: Path) -> None:
    model = onnx.load(load_subject("alice").graphs[1])
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.op_type = "Frobnicate"
    path = tmp_path / "odd.onnx"
    onnx.save(model, path)
    with pytest.raises(UserError, match=rf"cannot take .*odd\.onnx: operator Frobnicate at {node.name}: "):
        rtx.build(path)


def test_unknown_precisions_are_refused(rtx: ModuleType) -> None:
    with pytest.raises(ValueError, match="precision must be one of f32, f16 for tensorrt_rtx, not 'int4'"):
        rtx.build(load_subject("alice").graphs[1], precision="int4")


@needs_no_gpu
def test_without_a_gpu_loading_says_so(rtx: ModuleType, plan: bytes) -> None:
    from engines.nvidia.plan_engine import load_plan

    with pytest.raises(UserError, match=r"cannot load its engine here: .*driver"):
        load_plan(rtx.trt, rtx.log(), rtx.trt.Runtime(rtx.log()), plan)
    with pytest.raises(UserError, match="no usable NVIDIA GPU"):
        rtx.TensorRtRtxEngine(plan)
