"""What can be wrong with an ONNX graph."""

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper


def find_fault(graph: Path) -> str | None:
    """What is wrong with the graph, in a few words; None if nothing is."""
    try:
        model = onnx.load(graph)
        onnx.checker.check_model(model, full_check=True)
    except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return str(error).strip().splitlines()[0]
    for constant in model.graph.initializer:
        if not np.isfinite(numpy_helper.to_array(constant)).all():
            return f"the weight {constant.name} is not finite"
    return None
