"""The torch backend beside ONNX Runtime, operator by operator where a whole network does not show it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.load import load_engine
from trainer.config import CompactConfig, Network, Pix2PixHDConfig
from trainer.export.onnx import export_generator
from trainer.networks.load import build_generator

SHAPE = (1, 5, 6, 7)
LAST = np.iinfo(np.int64).max


def write_slice(path: Path, *settings: list[int] | None) -> Path:
    """A graph that slices its input of `SHAPE`: starts, ends, axes and steps, as many as there are."""
    constants = [numpy_helper.from_array(np.array(each), f"c{n}") for n, each in enumerate(settings) if each]
    names = [f"c{n}" if each else "" for n, each in enumerate(settings)]
    node = helper.make_node("Slice", ["x", *names], ["y"])
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", SHAPE), ("y", None))
    )
    model = helper.make_model(
        helper.make_graph([node], "slice", [x], [y], constants),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def answers(graph: Path, given: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """What ONNX Runtime makes of the only input, and torch."""
    found = []
    for backend in ("onnxruntime", "torch"):
        engine = load_engine(graph, backend=backend)
        (buffer,), (output,) = engine.inputs.values(), engine.outputs.values()
        buffer[...] = given
        engine.run()
        found.append(output.copy())
    return found


@pytest.mark.parametrize(
    "settings",
    [
        ([1, 2], [3, LAST], [1, 3], [1, 2]),
        ([-3], [-1], [-2]),
        ([0, 1, 0, 3], [1, 4, LAST, 5]),
        ([0, 1, 0, 3], [1, 4, LAST, 5], None, [1, 2, 3, 1]),
    ],
)
def test_slices(settings: tuple[list[int] | None, ...], tmp_path: Path) -> None:
    given = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    expected, found = answers(write_slice(tmp_path / "slice.onnx", *settings), given)
    assert expected.size < given.size
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "network",
    [CompactConfig(widths=(16, 16, 16), blocks=(1, 1, 1)), Pix2PixHDConfig(ngf=4, downsamplings=2, blocks=1)],
    ids=str,
)
def test_generators_with_references(network: Network, tmp_path: Path) -> None:
    generator, graph = build_generator(network, background=True, references=True), tmp_path / "generator.onnx"
    export_generator(generator, np.zeros((32, 64, 3), np.uint8), graph)
    given = np.random.default_rng(0).integers(0, 256, (1, 8, 16, 196))
    expected, found = (each.astype(np.int16) for each in answers(graph, given))
    assert found.std() > 1
    assert np.abs(found - expected).max() <= 1
