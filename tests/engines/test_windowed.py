"""A graph that computes windows of its picture, beside the same graph on all of it."""

import gc
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from engines.backends import BackendName, Precision
from engines.engine import Size
from engines.load import has_windows, load_engine, load_window
from engines.windowed import WindowedEngine
from realtime.patches import to_patches
from realtime.subject import load_subject
from tests.support.local_network import LocalNetwork
from tests.support.tiny_training import figure_generator
from trainer.config import Pix2PixHDConfig
from trainer.export.onnx import export_generator
from trainer.networks.load import build_generator

ALICE = load_subject("alice")
RNG = np.random.default_rng(0)
C = 4
OUTSIDE = RNG.integers(0, 256, (1, 8, 8, C)).astype(np.uint8)


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("openvino", "f32"), ("openvino", "bf16"), ("onnxruntime", "f32"), ("torch", "f32")],
)
def test_a_window_is_the_middle_of_the_whole(backend: BackendName, precision: Precision, tmp_path: Path) -> None:
    """Inside of the window, farther from its edges than the network sees; and with the plate of that place."""
    graph = figure_generator(ALICE.plate, tmp_path / "generator.onnx")
    assert has_windows(graph, backend, precision)
    whole = load_engine(graph, backend=backend, precision=precision)
    rows, columns = slice(32, 128), slice(16, 120)
    window = load_window(graph, (96, 104), backend=backend, precision=precision, threads=1)
    assert list(window.inputs) == ["packed"]
    plate = to_patches(ALICE.plate)[None]
    whole.inputs["packed"][..., 96:] = plate
    whole.run()
    window.inputs["packed"][...] = whole.inputs["packed"][:, rows, columns]
    apart = []
    for row, column in ((rows.start, columns.start), (0, 0)):
        window.place(row, column)
        window.run()
        difference = window.outputs["picture"].astype(int) - whole.outputs["picture"][:, rows, columns]
        apart.append(np.abs(difference[:, 48:, 40:-40]).mean())
    right, wrong = apart
    assert right < 0.5
    assert wrong > 5, "another place has another plate"


def test_a_network_that_looks_at_its_whole_picture_has_no_windows(tmp_path: Path) -> None:
    shape = Pix2PixHDConfig(ngf=8, downsamplings=2, blocks=1)
    graph = tmp_path / "generator.onnx"
    export_generator(build_generator(shape, background=True), np.zeros((64, 64, 3), np.uint8), graph)
    assert not has_windows(graph, "openvino", "f32")
    assert not has_windows(graph, "torch", "f32")
    assert not has_windows(ALICE.generator, "tensorrt", "f16")
    with pytest.raises(ValueError, match="tensorrt computes whole pictures only"):
        load_window(ALICE.generator, (16, 16), backend="tensorrt", precision="f16", threads=1)


def test_only_the_window_is_computed_and_state_is_whole() -> None:
    """Random inputs and windows, beside the same put together slowly."""
    constants = RNG.integers(0, 256, (1, 8, 8, C)).astype(np.uint8)
    engine = WindowedEngine(
        LocalNetwork(constants, (8, 8)), lambda size: LocalNetwork(constants, size), [(4, 6), (5, 3)], OUTSIDE
    )
    engine.wait()
    for _ in range(20):
        height, width = engine.sizes[RNG.integers(3)]
        row, column = RNG.integers(9 - height), RNG.integers(9 - width)
        box = slice(int(row), int(row) + height), slice(int(column), int(column) + width)
        packed = RNG.integers(0, 256, engine.inputs["packed"].shape).astype(np.uint8)
        engine.inputs["packed"][...] = packed
        engine.box = box
        engine.run()
        expected = OUTSIDE.copy()
        expected[0][box] = LocalNetwork.compute(packed, constants)[0][box]
        assert np.array_equal(engine.outputs["picture"], expected)
        assert np.array_equal(engine.inputs["packed"], packed), "the input is the caller's"


def test_sizes_are_chosen_once_they_are_loaded() -> None:
    may_load = threading.Event()

    def load(size: Size) -> LocalNetwork:
        assert may_load.wait(10)
        if size == (3, 3):
            raise MemoryError("too large")
        return LocalNetwork(OUTSIDE, size)

    engine = WindowedEngine(LocalNetwork(OUTSIDE, (8, 8)), load, [(4, 4), (3, 3)], OUTSIDE)
    assert engine.sizes == [(8, 8)]
    may_load.set()
    engine.wait()
    assert engine.sizes == [(4, 4), (3, 3), (8, 8)]
    engine.box = slice(0, 3), slice(0, 3)
    with pytest.raises(MemoryError, match="too large"):
        engine.run()


def test_what_nobody_wants_any_more_is_not_loaded() -> None:
    begun, may_end, loaded, threads = threading.Event(), threading.Event(), list[Size](), list[threading.Thread]()

    def load(size: Size) -> LocalNetwork:
        loaded.append(size)
        threads.append(threading.current_thread())
        begun.set()
        assert may_end.wait(10)
        return LocalNetwork(OUTSIDE, size)

    engine = WindowedEngine(LocalNetwork(OUTSIDE, (8, 8)), load, [(4, 4), (3, 3)], OUTSIDE)
    assert begun.wait(10)
    del engine
    gc.collect()
    may_end.set()
    threads[0].join(10)
    assert not threads[0].is_alive()
    assert loaded == [(4, 4)]


ENDING = """
import threading
import numpy as np
from engines.load import load_engine, load_window
from engines.windowed import WindowedEngine
from realtime.subject import load_subject

begun = threading.Event()
graph = load_subject("alice").generator

def load(size):
    print("compiles", flush=True)
    begun.set()
    return load_window(graph, size, backend="openvino", precision="f32", threads=1)

whole = load_engine(graph)
engine = WindowedEngine(whole, load, [(64, 64), (64, 96), (96, 96)], np.zeros((1, 128, 128, 48), np.uint8))
begun.wait()
"""


def test_a_process_may_end_while_windows_are_compiled() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "compiles\n", "it waits for the one that has begun, and for no other"
