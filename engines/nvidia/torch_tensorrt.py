"""Torch-TensorRT: a graph through `torch.export`, compiled for this machine's GPU. The only file that imports it."""

from pathlib import Path

import torch
import torch_tensorrt

from engines.backends import Precision
from engines.eager import OnnxModule
from engines.nvidia.onnx_precision import strongly_typed
from engines.nvidia.torch_engine import TorchDeviceEngine

VERSION = str(torch_tensorrt.__version__)


def build(graph: Path, out: Path, *, precision: Precision = "f16") -> None:
    """Compile an exported graph with fixed sizes, and save it as a program that `TorchTensorRtEngine` loads.

    The types are the graph's own, as with the other TensorRT backends; what TensorRT does not take runs in torch.
    """
    module = OnnxModule(graph, strongly_typed(graph, precision)).cuda().eval()
    inputs = module.examples("cuda")
    program = torch.export.export(module, inputs, strict=False)
    compiled = torch_tensorrt.dynamo.compile(
        program, arg_inputs=inputs, use_explicit_typing=True, disable_tf32=True, min_block_size=1
    )
    torch_tensorrt.save(compiled, str(out), output_format="exported_program", arg_inputs=inputs)


class TorchTensorRtEngine(TorchDeviceEngine):
    """An `Engine` on Torch-TensorRT.

    Args:
        graph: the ONNX graph, for the names and shapes.
        program: what `build` wrote. Only ever one of this user's own making: loading it runs what it says.
    """

    def __init__(self, graph: Path, program: Path) -> None:
        described = OnnxModule(graph)
        super().__init__(torch_tensorrt.load(str(program)).module(), described.inputs, described.outputs)
