"""Types inside ONNX graphs for NVIDIA's builders, which take them from the graph and know uint8 only at its ends.

    uint8 ─ Cast ─ [f32] ─ Cast ─ [f16: all between the first and the last convolution] ─ Cast ─ [f32] ─ Cast ─ uint8

What computes the final picture stays in f32, because half precision has no quarter steps above 255.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engines.backends import Precision
from engines.errors import UserError
from engines.onnx_check import read_graph

PRECISIONS: tuple[Precision, ...] = ("f32", "f16")
CONVOLUTIONS = {"Conv", "ConvTranspose"}
MOVES = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "DepthToSpace"}
"""Operators that change no value, so a Cast may change places with them."""
NORMS = {"InstanceNormalization"}
"""Operators with sums over a whole picture, which half precision cannot hold."""


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
    """Raise UserError if a zero point is uint8."""
    kinds = {constant.name: constant.data_type for constant in graph.initializer}
    for node in graph.node:
        quantizes = node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) == 3
        if quantizes and kinds.get(node.input[2]) == TensorProto.UINT8:
            raise UserError(
                f"{path} is quantized with uint8 zero points (at {node.name or node.output[0]}), "
                "which TensorRT cannot read: quantize it symmetrically to int8, or build from the f32 graph."
            )


def _fold_casts_of_weights(graph: GraphProto) -> None:
    """Replace weights that are stored as f16 and cast to f32 by f32 constants."""
    constants = {constant.name: constant for constant in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in constants]:
        values = numpy_helper.to_array(constants[node.input[0]])
        dtype = helper.tensor_dtype_to_np_dtype(_attribute(node, "to").i)
        graph.initializer.append(numpy_helper.from_array(values.astype(dtype), node.output[0]))
        graph.node.remove(node)
    _drop_unused(graph)


def _cast_inputs_first(graph: GraphProto) -> None:
    """Cast every uint8 input to f32 at once, and let all nodes take that."""
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            _rename_uses(graph, value.name, f"{value.name}.f32")
            graph.node.insert(0, _cast(value.name, f"{value.name}.f32", TensorProto.FLOAT))


def _cast_outputs_last(graph: GraphProto, path: Path) -> None:
    """Move the Cast that makes a uint8 output behind the operators that only rearrange it, to the graph's end."""
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
    """Compute in f16 what lies between convolutions; a Cast is put wherever a value crosses between f32 and f16."""
    graph = model.graph
    kinds = _kinds(onnx.shape_inference.infer_shapes(model).graph)
    floats = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT}  # bytes and indices stay as they are
    constants = {constant.name: constant for constant in graph.initializer}
    inside = _between_convolutions(graph)
    halves = {name for node, within in zip(graph.node, inside, strict=True) if within for name in node.output} & floats
    nodes: list[NodeProto] = []
    made: set[str] = set()
    for node, within in zip(graph.node, inside, strict=True):
        wanted = TensorProto.FLOAT16 if within else TensorProto.FLOAT
        for index, name in enumerate(node.input):
            settings = node.op_type == "Resize" and index > 0  # ONNX has its region and scales in f32 always
            if name not in floats or settings or (name in halves) == within:
                continue
            converted = f"{name}.{'f16' if within else 'f32'}"
            node.input[index] = converted
            if converted in made:  # one conversion serves all nodes
                continue
            made.add(converted)
            if name in constants:  # f32 in the file, so only ever converted to f16
                values = numpy_helper.to_array(constants[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(values, converted))
            else:
                nodes.append(_cast(name, converted, wanted))
        if within and node.op_type == "Cast" and _attribute(node, "to").i == TensorProto.FLOAT:
            _attribute(node, "to").i = TensorProto.FLOAT16  # it names its type; other nodes take that of their inputs
        nodes.append(node)
    for name in {value.name for value in graph.output} & halves:
        nodes = _restore_output(nodes, name)
    # Emptying the graph frees its nodes, so they are copied before.
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    _drop_unused(graph)


def _restore_output(nodes: list[NodeProto], name: str) -> list[NodeProto]:
    """Keep an f32 output of the graph f32 although it is computed in f16: under another name, cast at the end."""
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [f"{name}.f16" if each == name else each for each in names]
    return [*nodes, _cast(f"{name}.f16", name, TensorProto.FLOAT)]


def _between_convolutions(graph: GraphProto) -> list[bool]:
    """For each node, which are in topological order: whether it is a convolution or on a path between two; no norms."""
    after: set[str] = set()  # values that depend on a convolution
    is_after = []
    for node in graph.node:
        is_after.append(node.op_type in CONVOLUTIONS or bool(after & set(node.input)))
        after |= set(node.output) if is_after[-1] else set()
    before: set[str] = set()  # values that a convolution depends on
    is_before = []
    for node in reversed(graph.node):
        is_before.append(node.op_type in CONVOLUTIONS or bool(before & set(node.output)))
        before |= set(node.input) if is_before[-1] else set()
    return [
        first and last and node.op_type not in NORMS
        for node, first, last in zip(graph.node, is_after, reversed(is_before), strict=True)
    ]


def _kinds(graph: GraphProto) -> dict[str, int]:
    """The `TensorProto` type of every value, by name."""
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
