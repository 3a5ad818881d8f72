"""Compiled graphs in the user's cache."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import engines.openvino
from engines.backends import Precision
from engines.cache import Cache
from engines.engine import Engine
from engines.load import load_engine

GRAPH = Path(engines.openvino.__file__).parents[1] / "realtime/pose/estimation/networks/hand_recrop.tflite"


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was compiled, beside a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    models: list[Any] = []
    compile_model = engines.openvino.compile_model

    def counted(model: Any, precision: Precision, threads: int) -> Any:
        models.append(model)
        return compile_model(model, precision, threads)

    monkeypatch.setattr("engines.openvino.compile_model", counted)
    return models


def kept(precision: Precision = "f32", threads: int = 1) -> Engine:
    return load_engine(GRAPH, precision=precision, threads=threads, outputs=("output_crop",), keep=True)


def output(engine: Engine) -> NDArray[np.float32]:
    (tensor,) = engine.inputs.values()
    tensor[...] = np.random.default_rng(0).random(tensor.shape, np.float32)
    engine.run()
    (found,) = engine.outputs.values()
    return np.array(found, np.float32)


def test_a_graph_is_compiled_once_and_computes_the_same(compiled: list[Any]) -> None:
    first = output(kept())
    assert np.array_equal(output(kept()), first)
    assert len(compiled) == 1
    assert np.array_equal(output(load_engine(GRAPH, outputs=("output_crop",))), first)


def test_another_precision_or_number_of_threads_is_compiled_for_itself(compiled: list[Any]) -> None:
    for _ in range(2):
        kept("f32", 1)
        kept("bf16", 1)
        kept("f32", 2)
    assert len(compiled) == 3
    assert {cached.entry.name for cached in Cache().entries()} == {"hand_recrop, compiled"}


def test_what_is_damaged_or_of_another_library_is_compiled_anew(
    compiled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = output(kept())
    (cached,) = Cache().entries()
    (cached.folder / engines.openvino.COMPILED).write_bytes(b"damaged")
    assert np.array_equal(output(kept()), first)
    assert len(compiled) == 2
    assert kept()
    assert len(compiled) == 2, "and is whole again"

    def refused(*_: object) -> None:
        raise RuntimeError("made for another processor")

    monkeypatch.setattr("engines.openvino.ov.Core.import_model", refused)
    assert np.array_equal(output(kept()), first)
    assert len(compiled) == 3


def test_nowhere_to_keep_it(compiled: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    output(kept())
    assert len(compiled) == 1
