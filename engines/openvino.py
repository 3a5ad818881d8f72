"""OpenVINO: the default backend on CPUs. The only file that imports it."""

import math
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

# OpenVINO reports every import over the network through this package. With None here its import fails,
# and OpenVINO takes its own stub instead: nothing leaves the machine.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402

from engines.errors import UserError  # noqa: E402
from engines.files import write_file  # noqa: E402

_HINTS = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
"""Arithmetic of what is not quantized."""


class OpenVinoEngine:
    """An `Engine` on OpenVINO's CPU plugin: one stream, `threads` threads, buffers shared with the runtime.

    Args:
        graph: an .onnx, .tflite or .xml file with static shapes.
        precision: "f32", "bf16", or "int8" for a quantized graph. Set explicitly, for OpenVINO's own default depends on
            the machine.
        threads: number of cores that one `run` may use.
        outputs: names of the outputs to keep, None for all; the graph is pruned of what only the others need.
    """

    def __init__(self, graph: Path, precision: str, threads: int, outputs: tuple[str, ...] | None = None) -> None:
        model = read_model(graph)
        if outputs is not None:
            _prune(model, outputs)
        compiled = compile_model(model, precision, threads)
        self._request = compiled.create_infer_request()
        inputs: dict[str, NDArray[Any]] = {}
        results: dict[str, NDArray[Any]] = {}
        for ports, buffers, bind in (
            (compiled.inputs, inputs, self._request.set_input_tensor),
            (compiled.outputs, results, self._request.set_output_tensor),
        ):
            for index, port in enumerate(ports):
                buffer = np.zeros(tuple(port.shape), port.element_type.to_dtype())
                buffers[port.any_name] = buffer
                bind(index, ov.Tensor(buffer, shared_memory=True))
        self.inputs = MappingProxyType(inputs)
        self.outputs = MappingProxyType(results)

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        self._request.infer()


def read_model(graph: Path) -> ov.Model:
    """Read an .onnx, .tflite or .xml file.

    Raises:
        UserError: it is none.
    """
    try:
        return ov.Core().read_model(str(graph))
    except RuntimeError as error:
        raise UserError(f"OpenVINO cannot read {graph}: {str(error).strip().splitlines()[-1]}") from error


def compile_model(model: ov.Model, precision: str, threads: int) -> ov.CompiledModel:
    """Make a model ready to run, one inference at a time."""
    return ov.Core().compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "CPU_DENORMALS_OPTIMIZATION": True,  # to zero: numbers that nobody sees cost a hundredfold
        },
    )


def gmac(graph: Path) -> float:
    """Billions of multiply-accumulates in a graph's convolutions, for one run."""
    total = 0
    for each in read_model(graph).get_ops():
        if each.get_type_name() == "Convolution":
            total += math.prod(each.input_value(1).get_shape()[1:]) * math.prod(each.output(0).get_shape())
    return total / 1e9


def save_model(model: ov.Model, path: Path) -> None:
    """Write an .xml and its .bin, each whole or not at all; the .xml last, for it says that the other is there."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        ov.save_model(model, str(draft), compress_to_fp16=False)
        write_file(path.with_suffix(".bin"), draft.with_suffix(".bin").read_bytes())
        write_file(path, draft.read_bytes())


def last_layer(model: ov.Model) -> list[str]:
    """Names of what is computed from the last convolution's output."""
    operations = model.get_ordered_ops()
    last = max(index for index, each in enumerate(operations) if each.get_type_name() == "Convolution")
    reached, names = {operations[last]}, []
    for each in operations[last + 1 :]:
        if each.get_type_name() != "Result" and any(value.get_node() in reached for value in each.input_values()):
            reached.add(each)
            names.append(each.get_friendly_name())
    return names


def _prune(model: ov.Model, outputs: tuple[str, ...]) -> None:
    named = {result.input_value(0).any_name: result for result in model.get_results()}
    if not named.keys() >= set(outputs):
        raise ValueError(f"outputs must be among {', '.join(named)}, not {', '.join(outputs)}")
    for name, result in named.items():
        if name not in outputs:
            model.remove_result(result)
