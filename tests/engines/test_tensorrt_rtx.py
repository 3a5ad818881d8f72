"""TensorRT-RTX plans, really built for every generation of GPUs on a machine that needs none."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch

from engines.eager import OnnxModule
from engines.errors import UserError
from engines.nvidia.onnx_precision import strongly_typed
from engines.nvidia.plan_builder import Sizes
from engines.nvidia.plan_header import TARGETS, read_header
from realtime.subject import load_subject
from tests.support.fake_gpu import needs_no_gpu, needs_rtx
from trainer.export.onnx import export_any_size, export_paper
from trainer.networks.compact import CompactGenerator
from trainer.networks.pix2pixhd import GlobalGenerator, LocalEnhancer

NETWORKS = ("live", "global", "local")


pytestmark = needs_rtx


@pytest.fixture(scope="session")
def rtx() -> ModuleType:
    """The backend."""
    return importlib.import_module("engines.nvidia.tensorrt_rtx")


@pytest.fixture(scope="session")
def free_sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The networks with free height and width; the paper's with few channels and blocks, or CI would take minutes."""
    folder = tmp_path_factory.mktemp("graphs")
    torch.manual_seed(0)
    graphs = {name: folder / f"{name}.onnx" for name in NETWORKS}
    coarse = GlobalGenerator(6, ngf=16, downsamplings=2, blocks=1)
    export_any_size(CompactGenerator((16, 16, 32), (1, 1, 1)), graphs["live"])
    export_paper(coarse, graphs["global"], multiple_px=4)
    export_paper(LocalEnhancer(coarse, 6, ngf=8, blocks=1), graphs["local"], multiple_px=8)
    return graphs


@pytest.fixture(scope="session")
def plan(rtx: ModuleType) -> bytes:
    built = rtx.build(load_subject("alice").face, targets=("sm89",))
    assert isinstance(built, bytes)
    return built


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("network", ["generator", "face"])
def test_builds_alice_for_every_target(rtx: ModuleType, network: str, target: str) -> None:
    header = read_header(rtx.build(load_subject("alice").folder / f"{network}.onnx", targets=(target,)))
    assert header.targets == (target,)
    assert header.version == rtx.VERSION


@pytest.mark.parametrize("network", NETWORKS)
def test_builds_free_sizes_for_all_targets_at_once(rtx: ModuleType, network: str, free_sizes: dict[str, Path]) -> None:
    phases: set[str] = set()
    plan = rtx.build(
        free_sizes[network],
        sizes=Sizes(least=16, usual=64, most=128),
        progress=lambda phase, done, total: phases.add(phase) if done <= total else None,
    )
    assert rtx.check(plan).targets == TARGETS
    assert "Building engine" in phases


@pytest.mark.parametrize("network", NETWORKS)
def test_free_sizes_in_half_precision_stay_with_f32(network: str, free_sizes: dict[str, Path]) -> None:
    """Computed by torch, at two sizes that the export never saw."""
    path = free_sizes[network]
    full, half = OnnxModule(path), OnnxModule(path, strongly_typed(path, "f16"))
    onnx.checker.check_model(strongly_typed(path, "f16"), full_check=True)
    generator = torch.manual_seed(0)
    for h, w in ((16, 24), (32, 8)):
        inputs = [
            torch.randint(0, 256, (1, h, w, shape[-1]), dtype=torch.uint8, generator=generator)
            for _, shape, _ in full.inputs
        ]
        one, other = (network(*inputs)[0].numpy().astype(np.float32) for network in (full, half))
        assert one.shape == (1, h, w, 48)
        assert one.std() > 1
        assert np.abs(one - other).max() <= 1


def test_f32_is_larger_than_f16(rtx: ModuleType, plan: bytes) -> None:
    assert len(rtx.build(load_subject("alice").face, targets=("sm89",), precision="f32")) > 1.5 * len(plan)


def test_the_same_graph_gives_the_same_plan(rtx: ModuleType, plan: bytes) -> None:
    assert rtx.build(load_subject("alice").face, targets=("sm89",)) == plan


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
        read_header(plan[:3])
    with pytest.raises(UserError, match="no TensorRT-RTX plan"):
        read_header(plan[1:])


@pytest.mark.parametrize("targets", [("sm90",), ("sm89", "ampere"), ()])
def test_unknown_targets_are_refused(rtx: ModuleType, targets: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=f"builds for {', '.join(TARGETS)}, not for"):
        rtx.build(load_subject("alice").face, targets=targets)


def test_unknown_operators_are_named(rtx: ModuleType, tmp_path: Path) -> None:
    model = onnx.load(load_subject("alice").face)
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.op_type = "Frobnicate"
    path = tmp_path / "odd.onnx"
    onnx.save(model, path)
    with pytest.raises(UserError, match=rf"cannot take .*odd\.onnx: operator Frobnicate at {node.name}: "):
        rtx.build(path)


def test_unknown_precisions_and_sizes_are_refused(rtx: ModuleType) -> None:
    with pytest.raises(ValueError, match="precision must be one of f32, f16 for tensorrt_rtx, not 'int4'"):
        rtx.build(load_subject("alice").face, precision="int4")
    with pytest.raises(ValueError, match="sizes must grow"):
        Sizes(least=64, usual=32)


@needs_no_gpu
def test_without_a_gpu_loading_says_so(rtx: ModuleType, plan: bytes) -> None:
    from engines.nvidia.plan_engine import load_plan

    with pytest.raises(UserError, match=r"cannot load its engine here: .*driver"):
        load_plan(rtx.trt, rtx.log(), rtx.trt.Runtime(rtx.log()), plan)
    with pytest.raises(UserError, match="no usable NVIDIA GPU"):
        rtx.TensorRtRtxEngine(plan)
