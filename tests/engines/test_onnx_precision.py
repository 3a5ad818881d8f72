"""Graphs made fit for strongly typed engines: the same pictures, uint8 only at the ends, half precision inside."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from engines.backends import Precision
from engines.errors import UserError
from engines.nvidia.onnx_precision import CONVOLUTIONS, PRECISIONS, strongly_typed
from engines.nvidia.torch_engine import TorchDeviceEngine
from engines.torch_eager import OnnxModule
from realtime.render import Renderer
from realtime.subject import load_subject
from tests.support.standing_pose import standing


def types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    return {each.name: each.type.tensor_type.elem_type for each in values} | {
        each.name: each.data_type for each in graph.initializer
    }


@pytest.mark.parametrize("network", ["generator", "face"])
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_types_are_where_they_belong(network: str, precision: Precision) -> None:
    subject = load_subject("alice")
    model = strongly_typed(subject.folder / f"{network}.onnx", precision)
    onnx.checker.check_model(model, full_check=True)
    kinds = types(model)
    inside = TensorProto.FLOAT16 if precision == "f16" else TensorProto.FLOAT
    for node in model.graph.node:
        if node.op_type in CONVOLUTIONS:
            assert {kinds[name] for name in (*node.input, *node.output)} == {inside}, node.name
        if node.op_type != "Cast":
            assert TensorProto.UINT8 not in {kinds[name] for name in (*node.input, *node.output) if name}, node.name
        if node.op_type == "Clip":
            assert kinds[node.output[0]] == TensorProto.FLOAT, "the last steps must keep quarter steps above 128"
    assert [kinds[each.name] for each in (*model.graph.input, *model.graph.output)] == [TensorProto.UINT8] * 2


def test_f32_changes_no_bit() -> None:
    path = load_subject("alice").folder / "face.onnx"
    module, rewritten = OnnxModule(path), OnnxModule(path, strongly_typed(path, "f32"))
    packed = torch.randint(0, 256, module.inputs[0][1], dtype=torch.uint8, generator=torch.manual_seed(0))
    assert torch.equal(module(packed)[0], rewritten(packed)[0])


def test_f16_stays_with_f32_over_a_chain() -> None:
    """Computed in true half precision by torch; each chain is fed its own pictures."""
    subject = load_subject("alice")
    chains = []
    for precision in PRECISIONS:
        module = OnnxModule(subject.generator, strongly_typed(subject.generator, precision))
        engine = TorchDeviceEngine(module, module.inputs, module.outputs, "cpu")
        chains.append(Renderer(engine, None, subject.plate))
    height = len(subject.plate)
    for step in range(6):
        figure = subject.figure(standing(scale=height / 128, x=4.0 * step))
        full, half = (chain.step(figure).astype(np.float32) for chain in chains)
        assert 10 * np.log10(255**2 / np.square(full - half).mean()) > 50, f"step {step}"


def quantized(tmp_path: Path, dtype: type[np.generic]) -> Path:
    """x -> QuantizeLinear -> DequantizeLinear -> y, with a zero point of that type."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], name="dequantize"),
    ]
    constants = [
        numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
        numpy_helper.from_array(np.array(0, dtype), "zero"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8]) for name in "xy")
    graph = helper.make_graph(nodes, "quantized", [x], [y], constants)
    path = tmp_path / "quantized.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_unsigned_zero_points_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"uint8 zero points \(at quantize\).*symmetrically"):
        strongly_typed(quantized(tmp_path, np.uint8), "f16")
    assert strongly_typed(quantized(tmp_path, np.int8), "f16")


def test_what_is_no_graph_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\x08no graph at all")
    with pytest.raises(UserError, match=r"broken\.onnx is not an ONNX graph"):
        strongly_typed(path, "f16")


def test_what_begins_and_ends_in_f32_still_does(tmp_path: Path) -> None:
    """Like the pose networks: a convolution is the first and the last operator, and one output is used inside, too."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["y"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["y", "weight"], ["z"], name="last", pads=[1, 1, 1, 1]),
    ]
    weight = numpy_helper.from_array(rng.normal(0, 0.2, (4, 4, 3, 3)).astype(np.float32), "weight")
    x, y, z = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8]) for name in "xyz")
    graph = helper.make_graph(nodes, "float", [x], [y, z], [weight])
    path = tmp_path / "float.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    model = strongly_typed(path, "f16")
    onnx.checker.check_model(model, full_check=True)
    assert {types(model)[name] for name in "xyz"} == {TensorProto.FLOAT}
    given = torch.from_numpy(rng.normal(size=(1, 4, 8, 8)).astype(np.float32))
    for one, other in zip(OnnxModule(path)(given), OnnxModule(path, model)(given), strict=True):
        assert other.dtype == torch.float32
        assert 0 < (one - other).abs().max() < 0.02


@pytest.mark.parametrize("network", ["generator", "face"])
def test_torch_export_gives_the_same_program(network: str) -> None:
    """What Torch-TensorRT compiles."""
    path = load_subject("alice").folder / f"{network}.onnx"
    module = OnnxModule(path, strongly_typed(path, "f16")).eval()
    program = torch.export.export(module, module.examples(), strict=False)
    packed = torch.randint(0, 256, module.inputs[0][1], dtype=torch.uint8, generator=torch.manual_seed(0))
    assert torch.equal(program.module()(packed)[0], module(packed)[0])
