"""Plain torch: slow and obviously right, the twin that every fast engine is compared with. Reads the same graphs.

The only file of this package that imports torch and onnx.
"""

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

from engines.errors import UserError

Attributes = Mapping[str, Any]

_DTYPES = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.UINT8: torch.uint8,
}


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, a: Attributes) -> Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    assert pads[:2] == pads[2:], f"uneven padding {pads}"
    return F.conv2d(x, weight, bias, a.get("strides", 1), pads[:2], a.get("dilations", 1), a.get("group", 1))


def _resize(
    x: Tensor, _roi: Tensor | None, scales: Tensor | None, sizes: Tensor | None = None, *, a: Attributes
) -> Tensor:
    mode = {b"linear": "bilinear", b"nearest": "nearest"}[a.get("mode", b"nearest")]
    size = [int(v) for v in sizes[2:]] if sizes is not None else None
    scale = [float(v) for v in scales[2:]] if scales is not None else None
    return F.interpolate(x, size, scale, mode, align_corners=False if mode == "bilinear" else None)


def _split(x: Tensor, sizes: Tensor, *, a: Attributes) -> Sequence[Tensor]:
    return torch.split(x, sizes.tolist(), a.get("axis", 0))


OPERATORS: Mapping[str, Callable[..., Tensor | Sequence[Tensor]]] = {
    "Add": lambda x, y, a: x + y,
    "Cast": lambda x, a: x.to(_DTYPES[a["to"]]),
    "Clip": lambda x, low, high, a: torch.clamp(x, low, high),
    "Concat": lambda *xs, a: torch.cat(xs, a["axis"]),
    "Conv": _conv,
    "Div": lambda x, y, a: x / y,
    "Expand": lambda x, shape, a: x * torch.ones(shape.tolist(), dtype=x.dtype),
    "Mul": lambda x, y, a: x * y,
    "Relu": lambda x, a: torch.relu(x),
    "Reshape": lambda x, shape, a: x.reshape(shape.tolist()),
    "Resize": _resize,
    "Sigmoid": lambda x, a: torch.sigmoid(x),
    "Split": _split,
    "Sub": lambda x, y, a: x - y,
    "Tanh": lambda x, a: torch.tanh(x),
    "Transpose": lambda x, a: x.permute(a["perm"]),
    "Unsqueeze": lambda x, axes, a: x.unsqueeze(int(axes)),
}
"""What the exported networks are made of: ONNX operators, inputs in order and the attributes as `a`."""


class OnnxModule(nn.Module):
    """An ONNX graph as a torch module: inputs in the graph's order, outputs as a tuple.

    Raises:
        UserError: the file is no ONNX graph or has an operator that the exported networks never use.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            graph = onnx.load(path).graph
        except Exception as error:  # protobuf's own type, which onnx does not export
            raise UserError(f"{path} is not an ONNX graph: export it again.") from error
        unknown = {node.op_type for node in graph.node} - OPERATORS.keys()
        if unknown:
            raise UserError(f"The torch backend does not know {', '.join(sorted(unknown))} in {path}: use openvino.")
        self.inputs, self.outputs = ([_described(value) for value in values] for values in (graph.input, graph.output))
        self._nodes = list(graph.node)
        self._constants = {c.name: torch.from_numpy(numpy_helper.to_array(c).copy()) for c in graph.initializer}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run every node in order."""
        values: dict[str, Tensor | None] = {"": None, **self._constants}
        values |= {name: tensor for (name, _, _), tensor in zip(self.inputs, inputs, strict=True)}
        for node in self._nodes:
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            result = OPERATORS[node.op_type](*(values[name] for name in node.input), a=attributes)
            results = [result] if isinstance(result, Tensor) else result
            values |= dict(zip(node.output, results, strict=True))
        return tuple(values[name] for name, _, _ in self.outputs)  # type: ignore[misc]


class EagerEngine:
    """An `Engine` on eager torch, in f32."""

    def __init__(self, graph: Path, threads: int) -> None:
        self._module = OnnxModule(graph)
        self._threads = threads
        inputs, outputs = (
            {name: np.zeros(shape, dtype) for name, shape, dtype in described}
            for described in (self._module.inputs, self._module.outputs)
        )
        self.inputs: Mapping[str, NDArray[Any]] = MappingProxyType(inputs)
        self.outputs: Mapping[str, NDArray[Any]] = MappingProxyType(outputs)

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            results = self._module(*(torch.from_numpy(buffer) for buffer in self.inputs.values()))
        for buffer, result in zip(self.outputs.values(), results, strict=True):
            buffer[...] = result.numpy()


def _described(value: onnx.ValueInfoProto) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    tensor = value.type.tensor_type
    shape = tuple(dimension.dim_value for dimension in tensor.shape.dim)
    return value.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
