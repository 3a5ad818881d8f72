"""OpenVINO: the default backend on CPUs, and int8 graphs for it by NNCF. The only file that imports either."""

import contextlib
import io
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

# OpenVINO and NNCF report every import over the network through this package. With None here its import fails,
# and they take their own stubs instead: nothing leaves the machine.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402
from openvino import opset13 as ops  # noqa: E402

from engines.backends import Precision, int8_graph  # noqa: E402
from engines.cache import Cache, engine_key  # noqa: E402
from engines.engine import Size, cut_constants  # noqa: E402
from engines.errors import UserError  # noqa: E402
from engines.files import write_file  # noqa: E402

# The binding makes its table of types when it is first asked, and two threads that ask at once wait for each other for
# ever: one has Python's lock, the other one the table's.
ov.Type.f32.to_dtype()

LOG = logging.getLogger(__name__)
_HINTS: Mapping[Precision, str] = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
"""Arithmetic of what is not quantized."""
LOCAL_OPERATIONS = frozenset(
    (
        *("Add", "Broadcast", "Clamp", "Concat", "Constant", "Convert", "Convolution", "Divide", "FakeQuantize"),
        *("Interpolate", "Maximum", "Minimum", "Multiply", "Parameter", "Relu", "Reshape", "Result", "ShapeOf"),
        *("Sigmoid", "Subtract", "Tanh", "Transpose", "VariadicSplit"),
    )
)
"""What may be in a graph that runs on windows: nothing that looks at the whole picture, as a norm of instances does."""
COMPILED, LOCK_S = "compiled.blob", 10.0
"""What compiled graphs are kept as, and how long another process may take that compiles the same."""
CHANNELS, SIDE = 256, 64
"""Of `dense_convolution`."""


class OpenVinoEngine:
    """An `Engine` on OpenVINO's CPU plugin: one stream, `threads` threads, buffers shared with the runtime.

    Args:
        graph: an .onnx, .tflite or .xml file with static shapes.
        precision: "f32", "bf16", or "int8" for a quantized graph. Set explicitly, for OpenVINO's own default depends on
            the machine.
        threads: number of cores that one `run` may use.
        outputs: names of the outputs to keep, None for all; the graph is pruned of what only the others need.
        window: size of the window that is computed, None for the whole picture.
        keep: keep what is compiled in the user's cache, from where it is loaded in a seventh of the time; not windows.
    """

    def __init__(
        self,
        graph: Path,
        precision: Precision,
        threads: int,
        outputs: tuple[str, ...] | None = None,
        window: Size | None = None,
        *,
        keep: bool = False,
    ) -> None:
        assert not (keep and window), "the constants of windows are in no compiled model"
        self._constants: dict[str, NDArray[Any]] = {}
        try:
            if keep:
                compiled = _kept(graph, precision, threads, outputs)
            else:
                model = _read(graph, outputs)
                self._constants = _cut(model, window) if window else {}
                compiled = compile_model(model, precision, threads)
            self._request = compiled.create_infer_request()
        except RuntimeError as error:  # the last line says why; those before are OpenVINO's own places
            reason = (str(error).strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"OpenVINO cannot run {graph} in {precision} here: {reason}") from error
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
        self._cut = {name: inputs.pop(name) for name in self._constants}
        self.inputs = MappingProxyType(inputs)
        self.outputs = MappingProxyType(results)
        self.place(0, 0)

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        self._request.infer()

    def place(self, row: int, column: int) -> None:
        """Say where in the whole picture the window begins."""
        cut_constants(self._constants, self._cut, row, column)


@cache
def _core() -> ov.Core:
    """One for the whole process, for good.

    The CPU plugin of each Core gives the thread that loads it an alternate signal stack, and puts back the one before
    when it goes. Several that come and go leave one that was freed, and the next signal is a segmentation fault.
    """
    return ov.Core()


def read_model(graph: Path) -> ov.Model:
    """Read an .onnx, .tflite or .xml file.

    Raises:
        UserError: it is none.
    """
    try:
        return _core().read_model(str(graph))
    except RuntimeError as error:
        raise UserError(f"OpenVINO cannot read {graph}: {str(error).strip().splitlines()[-1]}") from error


def compile_model(model: ov.Model, precision: Precision, threads: int) -> ov.CompiledModel:
    """Make a model ready to run, one inference at a time."""
    return _core().compile_model(model, "CPU", _properties(precision, threads))


def _properties(precision: Precision, threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
        "CPU_DENORMALS_OPTIMIZATION": True,  # to zero: numbers that nobody sees cost a hundredfold
    }


def _read(graph: Path, outputs: tuple[str, ...] | None) -> ov.Model:
    model = read_model(graph)
    if outputs is not None:
        _prune(model, outputs)
    return model


def _kept(graph: Path, precision: Precision, threads: int, outputs: tuple[str, ...] | None) -> ov.CompiledModel:
    """A compiled graph, from the user's cache or for it; whatever the trouble with that, it runs."""
    compiled: list[ov.CompiledModel] = []

    def build(folder: Path) -> dict[str, float]:
        compiled.append(compile_model(_read(graph, outputs), precision, threads))
        (folder / COMPILED).write_bytes(compiled[0].export_model().getvalue())
        return {}

    key = engine_key(graph, "openvino", precision, options=f"compiled, {threads} threads, {outputs}")
    try:
        cache = Cache()
        # To read what is there needs no lock.
        cached = cache.get(key) or cache.get_or_build(key, f"{graph.stem}, compiled", build, wait_s=LOCK_S)
        if not compiled:
            content = (cached.folder / COMPILED).read_bytes()
            return _core().import_model(content, "CPU", _properties(precision, threads))
    except (OSError, UserError, RuntimeError) as error:
        LOG.debug("%s is compiled anew: %s", graph, error)
    return compiled[0] if compiled else compile_model(_read(graph, outputs), precision, threads)


def has_windows(graph: Path) -> bool:
    """Whether a graph from pictures to pictures can compute a window of them."""
    return all(each.get_type_name() in LOCAL_OPERATIONS for each in read_model(graph).get_ops())


def gmac(graph: Path) -> float:
    """Billions of multiply-accumulates in a graph's convolutions, for one run."""
    total = 0
    for each in read_model(graph).get_ops():
        if each.get_type_name() == "Convolution":
            total += math.prod(each.input_value(1).get_shape()[1:]) * math.prod(each.output(0).get_shape())
    return total / 1e9


def save_model(model: ov.Model, path: Path) -> None:
    """Write an .xml and its .bin, each whole or not at all; the .xml last, for it stands for both."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        ov.save_model(model, str(draft), compress_to_fp16=False)
        write_file(path.with_suffix(".bin"), draft.with_suffix(".bin").read_bytes())
        write_file(path, draft.read_bytes())


def quantize(graph: Path, inputs: Sequence[NDArray[Any] | Mapping[str, NDArray[Any]]]) -> Path:
    """Write the int8 graph of a graph: NNCF's post-training quantization, from the extra "train".

    Weights are quantized per channel. What follows the last convolution stays in float: there the bytes are made.

    Args:
        graph: ONNX file.
        inputs: a few dozen of those that it sees while it runs on its own outputs; by name where it takes several.

    Returns:
        `int8_graph(graph)`; its weights are in the .bin beside it.
    """
    import nncf

    # It tells of its work, and loads what compiles torch's extensions, which warns where there is no CUDA to do it by.
    for name in ("nncf", "torch.utils.cpp_extension"):
        logging.getLogger(name).setLevel(logging.ERROR)
    model = read_model(graph)
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        model = nncf.quantize(
            model,
            nncf.Dataset(list(inputs)),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=_after_last_convolution(model)),
        )
    path = int8_graph(graph)
    save_model(model, path)
    return path


def dense_convolution(precision: Precision, threads: int) -> tuple[Callable[[], object], float]:
    """A 3x3 convolution of many channels, as near this processor's peak as convolutions come.

    Returns:
        Runs it once; and its billions of multiply-accumulates.
    """
    rng = np.random.default_rng(0)
    picture = ops.parameter([1, CHANNELS, SIDE, SIDE], np.float32)
    weights = ops.constant(rng.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32))
    features = ops.relu(picture)
    if precision == "int8":
        features = ops.fake_quantize(features, *map(np.float32, (0, 1, 0, 1)), 256)
        weights = ops.fake_quantize(weights, *map(np.float32, (-4, 4, -4, 4)), 255)
    product = ops.convolution(features, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    request = compile_model(ov.Model([ops.relu(product)], [picture]), precision, threads).create_infer_request()
    request.set_input_tensor(ov.Tensor(np.zeros((1, CHANNELS, SIDE, SIDE), np.float32)))
    return request.infer, CHANNELS**2 * 9 * SIDE**2 / 1e9


def _after_last_convolution(model: ov.Model) -> list[str]:
    """Names of the operations that are computed from the last convolution's output."""
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


def _cut(model: ov.Model, window: Size) -> dict[str, NDArray[Any]]:
    """Let a model with one input, 1 h w c, compute a window of its picture.

    Returns:
        What it knew of every position of the whole, 1 H W c, by the names of new inputs which take the window's part.
    """
    (packed,) = model.inputs
    whole = tuple(packed.shape)[1:3]
    constants: dict[str, NDArray[Any]] = {}
    for constant in (each for each in model.get_ops() if each.get_type_name() == "Constant"):
        if tuple(constant.get_output_shape(0))[2:] != whole:
            continue
        name = constant.get_friendly_name()
        constants[name] = np.ascontiguousarray(constant.get_data().transpose(0, 2, 3, 1))
        part = ops.parameter(constants[name].shape, constants[name].dtype, name)
        part.output(0).set_names({name})
        users, channels_first = constant.output(0).get_target_inputs(), ops.transpose(part, np.array([0, 3, 1, 2]))
        for user in users:
            user.replace_source_output(channels_first.output(0))
        model.add_parameters([part])
    model.reshape({port: [1, *window, port.shape[3]] for port in model.inputs})
    return constants
