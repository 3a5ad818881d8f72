"""ONNX graphs made fit for NVIDIA's builders, which take every type from the graph and know uint8 only at its ends.

    uint8 ─ Cast ─ [f32] ─ Cast ─ [f16: all between the first and the last convolution] ─ Cast ─ [f32] ─ Cast ─ uint8

What computes the final picture stays in f32, because half precision has no quarter steps above 255.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engines.backends import Precision
from engines.errors import UserError

PRECISIONS: tuple[Precision, ...] = ("f32", "f16")
CONVOLUTIONS = {"Conv", "ConvTranspose"}
MOVES = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "DepthToSpace"}
"""Operators that change no value, so that a Cast may change places with them."""
NORMS = {"InstanceNormalization"}
"""Sums over a whole picture, which half precision cannot hold."""


def read_graph(path: Path) -> ModelProto:
    """Read an ONNX file.

    Raises:
        UserError: it is none.
    """
    try:
        return onnx.load(path)
    except DecodeError as error:
        raise UserError(f"{path} is not an ONNX graph: export it again.") from error


def strongly_typed(path: Path, precision: Precision) -> ModelProto:
    """Read a graph with f32 inside and uint8 or f32 at the ends, and fix the type of everything inside.

    Args:
        path: ONNX file; its weights may be stored in half precision.
        precision: "f16", or "f32".

    Raises:
        UserError: it is no ONNX graph, has uint8 zero points, or a uint8 output that no Cast makes.
    """
    assert precision in PRECISIONS, precision
    model = read_graph(path)
    _refuse_unsigned_quantization(model.graph, path)
    _fold_casts_of_weights(model.graph)
    _cast_inputs_first(model.graph)
    _cast_outputs_last(model.graph, path)
    del model.graph.value_info[:]
    if precision == "f16":
        _halve(model)
    return model


def _refuse_unsigned_quantization(graph: GraphProto, path: Path) -> None:
    kinds = {constant.name: constant.data_type for constant in graph.initializer}
    for node in graph.node:
        quantizes = node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) == 3
        if quantizes and kinds.get(node.input[2]) == TensorProto.UINT8:
            raise UserError(
                f"{path} is quantized with uint8 zero points (at {node.name or node.output[0]}), "
                "which TensorRT cannot read: quantize it symmetrically to int8, or build from the f32 graph."
            )


def _fold_casts_of_weights(graph: GraphProto) -> None:
    """Weights that are stored as f16 and cast at once become f32 constants."""
    constants = {constant.name: constant for constant in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in constants]:
        values = numpy_helper.to_array(constants[node.input[0]])
        dtype = helper.tensor_dtype_to_np_dtype(_attribute(node, "to").i)
        graph.initializer.append(numpy_helper.from_array(values.astype(dtype), node.output[0]))
        graph.node.remove(node)
    _drop_unused(graph)


def _cast_inputs_first(graph: GraphProto) -> None:
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            _rename_uses(graph, value.name, f"{value.name}.f32")
            graph.node.insert(0, _cast(value.name, f"{value.name}.f32", TensorProto.FLOAT))


def _cast_outputs_last(graph: GraphProto, path: Path) -> None:
    makers = {name: node for node in graph.node for name in node.output}
    for value in graph.output:
        if value.type.tensor_type.elem_type != TensorProto.UINT8:
            continue
        last = node = makers[value.name]
        while node.op_type in MOVES and node.input[0] in makers:
            node = makers[node.input[0]]
        if node.op_type != "Cast":
            raise UserError(f"The uint8 output {value.name} of {path} is not made by a Cast: export it again.")
        if node is not last:
            _attribute(node, "to").i = TensorProto.FLOAT
            last.output[0] = f"{value.name}.f32"
            graph.node.append(_cast(last.output[0], value.name, TensorProto.UINT8))


def _halve(model: ModelProto) -> None:
    graph = model.graph
    kinds = _kinds(onnx.shape_inference.infer_shapes(model).graph)
    floats = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT}
    constants = {constant.name: constant for constant in graph.initializer}
    inside = _between_convolutions(graph)
    halves = {name for node, within in zip(graph.node, inside, strict=True) if within for name in node.output} & floats
    nodes: list[NodeProto] = []
    made: set[str] = set()
    for node, within in zip(graph.node, inside, strict=True):
        wanted = TensorProto.FLOAT16 if within else TensorProto.FLOAT
        for index, name in enumerate(node.input):
            if name not in floats or (node.op_type == "Resize" and index > 0) or (name in halves) == within:
                continue
            converted = f"{name}.{'f16' if within else 'f32'}"
            node.input[index] = converted
            if converted in made:
                continue
            made.add(converted)
            if name in constants:
                values = numpy_helper.to_array(constants[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(values, converted))
            else:
                nodes.append(_cast(name, converted, wanted))
        if within and node.op_type == "Cast" and _attribute(node, "to").i == TensorProto.FLOAT:
            _attribute(node, "to").i = TensorProto.FLOAT16
        nodes.append(node)
    for name in {value.name for value in graph.output} & halves:
        for node in nodes:
            for names in (node.input, node.output):
                names[:] = [f"{name}.f16" if each == name else each for each in names]
        nodes.append(_cast(f"{name}.f16", name, TensorProto.FLOAT))
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    _drop_unused(graph)


def _between_convolutions(graph: GraphProto) -> list[bool]:
    """For each node whether it is a convolution or lies on a way from one to another, norms left out."""
    behind: set[str] = set()
    is_behind = []
    for node in graph.node:
        is_behind.append(node.op_type in CONVOLUTIONS or bool(behind & set(node.input)))
        behind |= set(node.output) if is_behind[-1] else set()
    ahead: set[str] = set()
    is_ahead = []
    for node in reversed(graph.node):
        is_ahead.append(node.op_type in CONVOLUTIONS or bool(ahead & set(node.output)))
        ahead |= set(node.input) if is_ahead[-1] else set()
    return [
        first and last and node.op_type not in NORMS
        for node, first, last in zip(graph.node, is_behind, reversed(is_ahead), strict=True)
    ]


def _kinds(graph: GraphProto) -> dict[str, int]:
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        constant.name: constant.data_type for constant in graph.initializer
    }


def _rename_uses(graph: GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def _drop_unused(graph: GraphProto) -> None:
    used = set(_used(graph))
    for constant in [constant for constant in graph.initializer if constant.name not in used]:
        graph.initializer.remove(constant)


def _used(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
    yield from (value.name for value in graph.output)


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], f"Cast to {target}", to=kind)


def _attribute(node: NodeProto, name: str) -> onnx.AttributeProto:
    attribute: onnx.AttributeProto = next(each for each in node.attribute if each.name == name)
    return attribute
