"""Read ONNX graphs, and check them. The package onnx is optional, so the functions import it themselves."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engines.errors import UserError

if TYPE_CHECKING:
    from onnx import ModelProto


def read_graph(path: Path) -> "ModelProto":
    """Read an ONNX file.

    Raises:
        UserError: it is none.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise UserError(f"{path} is not an ONNX graph: export it again.") from error
    if not model.graph.node:  # as of an empty file
        raise UserError(f"{path} is not an ONNX graph: export it again.")
    return model


def check_graph(path: Path) -> None:
    """Check a graph's structure, shapes and weights; without the package onnx nothing is checked.

    Raises:
        UserError: it breaks ONNX's rules, or a weight is NaN or infinite.
    """
    try:
        import onnx  # noqa: F401
    except ModuleNotFoundError:
        return
    if fault := _find_fault(path):
        raise UserError(f"{path} is broken ({fault}): export or download the subject again.")


def _find_fault(path: Path) -> str | None:
    """What is wrong with the graph, in a few words; None if nothing is."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
    except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return str(error).strip().splitlines()[0]
    for constant in model.graph.initializer:
        if not np.isfinite(numpy_helper.to_array(constant)).all():
            return f"the weight {constant.name} is not finite"
    return None
