"""Load a graph as an engine."""

from pathlib import Path

from engines.backends import BackendName, Precision, graph_files, known_backend
from engines.engine import Engine
from engines.errors import UserError


def load_engine(
    graph: Path,
    *,
    backend: BackendName = "openvino",
    precision: Precision = "f32",
    threads: int = 1,
    outputs: tuple[str, ...] | None = None,
) -> Engine:
    """Load an exported graph.

    Args:
        graph: ONNX file (or .tflite for OpenVINO) with static shapes; int8 takes `int8_graph(graph)` instead.
        backend: one of `engines.backends.FALLBACK_ORDER`.
        precision: one of the backend's.
        threads: number of cores one run may use, at least 1.
        outputs: names of the outputs that are wanted, None for all; only OpenVINO leaves the others out.

    Raises:
        UserError: the graph is missing or cannot be read, or the backend is not installed.
        ValueError: unknown backend, precision or output.
    """
    known = known_backend(backend)
    if precision not in known.precisions:
        raise ValueError(f"precision must be one of {', '.join(known.precisions)} for {backend}, not {precision!r}")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if not graph.is_file():
        raise UserError(f"The network {graph} is missing: install or export it again.")
    file, *_ = graph_files(graph, precision)
    try:
        if backend == "openvino":
            from engines.openvino import OpenVinoEngine

            return OpenVinoEngine(file, precision, threads, outputs)
        if backend == "onnxruntime":
            from engines.onnxruntime import OnnxRuntimeEngine

            return OnnxRuntimeEngine(file, threads)
        if backend == "torch":
            from engines.torch_eager import EagerEngine

            return EagerEngine(file, threads)
        if known.device == "cuda":
            from engines.nvidia.load import load_on_gpu

            return load_on_gpu(file, backend, precision)
    except ModuleNotFoundError as error:
        raise UserError(f"The {backend} backend needs {error.name}: {known.install}.") from error
    raise ValueError(f"unknown backend {backend!r}")
