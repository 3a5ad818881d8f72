"""Eager torch: an ONNX graph node by node, slow and plain, to compare fast engines with."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from engines.engine import Size, cut_constants
from engines.errors import UserError
from engines.onnx_check import read_graph
from engines.onnx_window import cut_graph

Attributes = Mapping[str, Any]
Setting = list[int] | list[float]

_DTYPES = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.UINT8: torch.uint8,
}


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, a: Attributes) -> Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    assert pads[:2] == pads[2:], f"uneven padding {pads}"
    return F.conv2d(x, weight, bias, a.get("strides", 1), pads[:2], a.get("dilations", 1), a.get("group", 1))


def _conv_transpose(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, a: Attributes) -> Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    assert pads[:2] == pads[2:], f"uneven padding {pads}"
    return F.conv_transpose2d(x, weight, bias, a.get("strides", 1), pads[:2], a.get("output_padding", 0))


def _average_pool(x: Tensor, *, a: Attributes) -> Tensor:
    counts_padding = bool(a.get("count_include_pad", 0))
    return F.avg_pool2d(x, a["kernel_shape"], a.get("strides"), a.get("pads", [0, 0])[:2], False, counts_padding)


def _concat(*parts: Any, a: Attributes) -> Any:
    return [value for part in parts for value in part] if isinstance(parts[0], list) else torch.cat(parts, a["axis"])


def _mul(x: Any, y: Any, *, a: Attributes) -> Any:
    return [p * q for p, q in zip(x, y, strict=True)] if isinstance(x, list) else x * y


def _pad(x: Tensor, pads: list[int], *, a: Attributes) -> Tensor:
    assert a["mode"] == b"reflect", a["mode"]
    top, left, bottom, right = (pads[index] for index in (2, 3, 6, 7))
    return F.pad(x, (left, right, top, bottom), "reflect")


def _reshape(x: Any, shape: Setting, *, a: Attributes) -> Any:
    return x if isinstance(x, list) else x.reshape(shape)


def _resize(
    x: Tensor, _roi: None, scales: list[float] | None, sizes: list[int] | None = None, *, a: Attributes
) -> Tensor:
    mode = {b"linear": "bilinear", b"nearest": "nearest"}[a.get("mode", b"nearest")]
    size = sizes[2:] if sizes else None
    scale = scales[2:] if scales else None
    return F.interpolate(x, size, scale, mode, align_corners=False if mode == "bilinear" else None)


def _slice(
    x: Tensor,
    starts: list[int],
    ends: list[int],
    axes: list[int] | None = None,
    steps: list[int] | None = None,
    *,
    a: Attributes,
) -> Tensor:
    for axis, *bounds in zip(axes or range(len(starts)), starts, ends, steps or [1] * len(starts), strict=True):
        x = x[(slice(None),) * (axis % x.ndim) + (slice(*bounds),)]
    return x


def _split(x: Tensor, sizes: list[int] | None = None, *, a: Attributes) -> Sequence[Tensor]:
    axis = a.get("axis", 0)
    return torch.split(x, sizes, axis) if sizes else torch.chunk(x, a["num_outputs"], axis)


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "Add": lambda x, y, a: x + y,
    "AveragePool": _average_pool,
    "Cast": lambda x, a: x.to(_DTYPES[a["to"]]),
    "Clip": lambda x, low, high, a: torch.clamp(x, low, high),
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": lambda x, y, a: x / y,
    "Expand": lambda x, shape, a: x * torch.ones(shape, dtype=x.dtype, device=x.device),
    "InstanceNormalization": lambda x, weight, bias, a: F.instance_norm(x, None, None, weight, bias, eps=a["epsilon"]),
    "Mul": _mul,
    "Pad": _pad,
    "Relu": lambda x, a: torch.relu(x),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": lambda x, a: list(x.shape[a.get("start", 0) : a.get("end")]),
    "Sigmoid": lambda x, a: torch.sigmoid(x),
    "Slice": _slice,
    "Split": _split,
    "Squeeze": lambda x, a: x,
    "Sub": lambda x, y, a: x - y,
    "Tanh": lambda x, a: torch.tanh(x),
    "Transpose": lambda x, a: x.permute(a["perm"]),
    "Unsqueeze": lambda x, axes, a: x.unsqueeze(*axes),
}
"""The ONNX operators of the exported networks, called with their inputs in order and their attributes as `a`. Data are
tensors; settings (sizes, axes, scales) are lists of numbers.
"""


class OnnxModule(nn.Module):
    """An ONNX graph as a torch module: inputs in the graph's order, outputs as a tuple; `torch.export` takes it too.

    Args:
        path: the graph's file.
        model: the graph to use instead of the file's.

    Raises:
        UserError: the file is no ONNX graph or has an operator that is not in `OPERATORS`.
    """

    def __init__(self, path: Path, model: onnx.ModelProto | None = None) -> None:
        super().__init__()
        graph = (model or read_graph(path)).graph
        unknown = {node.op_type for node in graph.node} - OPERATORS.keys()
        if unknown:
            raise UserError(f"The torch backend does not know {', '.join(sorted(unknown))} in {path}: use openvino.")
        self.inputs, self.outputs = ([_described(value) for value in values] for values in (graph.input, graph.output))
        self._nodes = list(graph.node)
        scales = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:]}
        self._settings: dict[str, Setting] = {}
        self._buffers_of: dict[str, str] = {}
        for index, constant in enumerate(graph.initializer):
            values = numpy_helper.to_array(constant)
            if constant.name in scales or values.dtype == np.int64:
                self._settings[constant.name] = values.reshape(-1).tolist()
            else:
                self._buffers_of[constant.name] = f"constant{index}"
                self.register_buffer(f"constant{index}", torch.from_numpy(values.copy()))

    def examples(self, device: str = "cpu") -> tuple[Tensor, ...]:
        """Inputs of the right shapes and dtypes, zero."""
        return tuple(torch.from_numpy(np.zeros(shape, dtype)).to(device) for _, shape, dtype in self.inputs)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run every node in order."""
        values: dict[str, Tensor | Setting | None] = {"": None, **self._settings}
        values |= {name: self.get_buffer(buffer) for name, buffer in self._buffers_of.items()}
        values |= {name: tensor for (name, _, _), tensor in zip(self.inputs, inputs, strict=True)}
        for node in self._nodes:
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            result = OPERATORS[node.op_type](*(values[name] for name in node.input), a=attributes)
            results = result if node.op_type == "Split" else [result]
            values |= dict(zip(node.output, results, strict=True))
        return tuple(values[name] for name, _, _ in self.outputs)  # type: ignore[misc]


class EagerEngine:
    """An `Engine` on eager torch, in f32; with `window` of a window of that size."""

    def __init__(self, graph: Path, threads: int, window: Size | None = None) -> None:
        model, self._constants = cut_graph(graph, window) if window else (None, {})
        self._module = OnnxModule(graph, model)
        self._threads = threads
        inputs, outputs = (
            {name: np.zeros(shape, dtype) for name, shape, dtype in described}
            for described in (self._module.inputs, self._module.outputs)
        )
        self._given = [torch.from_numpy(buffer) for buffer in inputs.values()]
        self._cut = {name: inputs.pop(name) for name in self._constants}
        self.inputs: Mapping[str, NDArray[Any]] = MappingProxyType(inputs)
        self.outputs: Mapping[str, NDArray[Any]] = MappingProxyType(outputs)
        self.place(0, 0)

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            results = self._module(*self._given)
        for buffer, result in zip(self.outputs.values(), results, strict=True):
            buffer[...] = result.numpy()

    def place(self, row: int, column: int) -> None:
        """Say where in the whole picture the window begins."""
        cut_constants(self._constants, self._cut, row, column)


def _described(value: onnx.ValueInfoProto) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    tensor = value.type.tensor_type
    shape = tuple(dimension.dim_value for dimension in tensor.shape.dim)
    return value.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
