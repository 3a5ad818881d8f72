"""ONNX graphs for a window of their picture. The package onnx is optional, so the functions import it themselves."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from engines.engine import Size
from engines.onnx_check import read_graph

if TYPE_CHECKING:
    from onnx import ModelProto

LOCAL_OPERATORS = frozenset(
    (
        *("Add", "Cast", "Clip", "Concat", "Conv", "Div", "Mul", "Relu", "Resize"),
        *("Sigmoid", "Split", "Sub", "Tanh", "Transpose"),
    )
)
"""What may be in a graph that runs on windows: nothing that looks at the whole picture, as a norm of instances does."""


def has_windows(path: Path) -> bool:
    """Whether a graph from pictures to pictures can compute a window of them; False without the package onnx."""
    return find_spec("onnx") is not None and all(
        node.op_type in LOCAL_OPERATORS for node in read_graph(path).graph.node
    )


def cut_graph(path: Path, window: Size) -> tuple["ModelProto", dict[str, NDArray[Any]]]:
    """A graph with one input and one output, both 1 h w c, for a window of its picture.

    Returns:
        The graph; and what it knew of every position of the whole, 1 H W c, by the names of new inputs which take the
        window's part.
    """
    from onnx import helper, numpy_helper

    model = read_graph(path)
    graph = model.graph
    (packed,), (output,) = graph.input, graph.output
    whole = [dimension.dim_value for dimension in packed.type.tensor_type.shape.dim[1:3]]
    constants: dict[str, NDArray[Any]] = {}
    for constant in [each for each in graph.initializer if list(each.dims[2:]) == whole]:
        name = f"{constant.name}_1hwc"
        constants[name] = numpy_helper.to_array(constant).transpose(0, 2, 3, 1)
        graph.initializer.remove(constant)
        graph.input.append(helper.make_tensor_value_info(name, constant.data_type, constants[name].shape))
        graph.node.insert(0, helper.make_node("Transpose", [name], [constant.name], perm=[0, 3, 1, 2]))
    for each in (*graph.input, output):
        for dimension, side in zip(each.type.tensor_type.shape.dim[1:3], window, strict=True):
            dimension.dim_value = side
    del graph.value_info[:]  # sizes in the whole picture
    return model, constants
