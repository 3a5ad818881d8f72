"""ONNX Runtime: the portable fall-back. The only file that imports it."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.engine import Size, cut_constants
from engines.errors import UserError
from engines.onnx_window import cut_graph

# ONNX Runtime reports every session over the network and leaves an identity in the home directory. Its switch has had
# two names; either has to be set before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ["ORT_TELEMETRY_DISABLED"] = "1"

import onnxruntime as ort

ort.disable_telemetry_events()  # on Windows, where it is no environment variable

PROVIDERS = ("CoreMLExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider")
"""Apple's, Windows' and everybody's, in this order; those that the installed package has are used."""

_DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}

_state = ort.capi.onnxruntime_pybind11_state
_FAILURES = (
    *(_state.InvalidProtobuf, _state.InvalidGraph, _state.InvalidArgument, _state.NoModel),
    *(_state.NotImplemented, _state.RuntimeException, _state.Fail),
)
"""What it raises for graphs that it cannot read."""


class OnnxRuntimeEngine:
    """An `Engine` on ONNX Runtime, in f32: buffers bound once, `threads` threads.

    Args:
        graph: ONNX file with static shapes.
        threads: number of cores that one `run` may use.
        window: size of the window that is computed, None for the whole picture.

    Raises:
        UserError: it cannot read the graph.
    """

    def __init__(self, graph: Path, threads: int, window: Size | None = None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors; those are raised as well
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = ort.get_available_providers()
        providers = [provider for provider in PROVIDERS if provider in available]
        model: Path | bytes = graph
        self._constants: dict[str, NDArray[Any]] = {}
        if window:
            cut, self._constants = cut_graph(graph, window)
            model = cut.SerializeToString()
        try:
            self._session = ort.InferenceSession(model, options, providers)
        except _FAILURES as error:
            raise UserError(f"ONNX Runtime cannot read {graph}: {str(error).splitlines()[0]}") from error
        self._binding = self._session.io_binding()
        inputs, outputs = (
            {node.name: np.zeros(node.shape, _DTYPES[node.type]) for node in nodes}
            for nodes in (self._session.get_inputs(), self._session.get_outputs())
        )
        for buffers, bind in ((inputs, self._binding.bind_input), (outputs, self._binding.bind_output)):
            for name, buffer in buffers.items():
                bind(name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        self._cut = {name: inputs.pop(name) for name in self._constants}
        self.inputs: Mapping[str, NDArray[Any]] = MappingProxyType(inputs)
        self.outputs: Mapping[str, NDArray[Any]] = MappingProxyType(outputs)
        self.place(0, 0)

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        self._session.run_with_iobinding(self._binding)

    def place(self, row: int, column: int) -> None:
        """Say where in the whole picture the window begins."""
        cut_constants(self._constants, self._cut, row, column)
