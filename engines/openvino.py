"""OpenVINO: the default backend on CPUs. The only file that imports it."""

from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

PRECISIONS = ("f32", "bf16")


class OpenVinoEngine:
    """An `Engine` on OpenVINO's CPU plugin: one stream, `threads` threads, buffers shared with the runtime.

    Args:
        graph: an .onnx, .tflite or .xml file with static shapes.
        precision: "f32" or "bf16". Set explicitly, for OpenVINO's own default depends on the machine.
        threads: number of cores that one `run` may use.
    """

    def __init__(self, graph: Path, precision: str, threads: int) -> None:
        compiled = ov.Core().compile_model(
            str(graph),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._request = compiled.create_infer_request()
        inputs: dict[str, NDArray[Any]] = {}
        outputs: dict[str, NDArray[Any]] = {}
        for ports, buffers, bind in (
            (compiled.inputs, inputs, self._request.set_input_tensor),
            (compiled.outputs, outputs, self._request.set_output_tensor),
        ):
            for index, port in enumerate(ports):
                buffer = np.zeros(tuple(port.shape), port.element_type.to_dtype())
                buffers[port.any_name] = buffer
                bind(index, ov.Tensor(buffer, shared_memory=True))
        self.inputs = MappingProxyType(inputs)
        self.outputs = MappingProxyType(outputs)

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        self._request.infer()
