"""Load a graph as an engine."""

from pathlib import Path

from engines.backends import BackendName, Precision, graph_files, known_backend
from engines.engine import Engine, Size, WindowEngine
from engines.errors import UserError


def load_engine(
    graph: Path,
    *,
    backend: BackendName = "openvino",
    precision: Precision = "f32",
    threads: int = 1,
    outputs: tuple[str, ...] | None = None,
    keep: bool = False,
) -> Engine:
    """Load an exported graph.

    Args:
        graph: ONNX file (or .tflite for OpenVINO) with static shapes; int8 takes `int8_graph(graph)` instead.
        backend: one of `engines.backends.FALLBACK_ORDER`.
        precision: one of the backend's.
        threads: number of cores one run may use, at least 1.
        outputs: names of the outputs that are wanted, None for all; only OpenVINO leaves the others out.
        keep: keep what OpenVINO compiles in the user's cache, so that it is loaded sooner the next time.

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

            return OpenVinoEngine(file, precision, threads, outputs, keep=keep)
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
    except (ImportError, OSError) as error:  # half an installation: a shared library of it is missing
        raise UserError(f"The {backend} backend cannot be loaded ({error}): anew, {known.install}.") from error
    raise ValueError(f"unknown backend {backend!r}")


def has_windows(graph: Path, backend: BackendName, precision: Precision) -> bool:
    """Whether `load_window` takes a graph: not one that looks at its whole picture, and none on GPUs.

    There engines have the one size that they were built for, and keep their past on the device.
    """
    file, *_ = graph_files(graph, precision)
    if backend == "openvino":
        from engines.openvino import has_windows as openvino_has_windows

        return openvino_has_windows(file)
    if backend in ("onnxruntime", "torch"):
        from engines.onnx_window import has_windows as onnx_has_windows

        return onnx_has_windows(file)
    return False


def load_window(graph: Path, window: Size, *, backend: BackendName, precision: Precision, threads: int) -> WindowEngine:
    """Load an exported graph for a window of its picture, of which it computes just that.

    Args:
        graph, backend, precision, threads: as for `load_engine`, which has loaded it for the whole picture.
        window: height and width in positions, multiples of the graph's largest stride.

    Raises:
        ValueError: `has_windows` says no.
    """
    file, *_ = graph_files(graph, precision)
    if backend == "openvino":
        from engines.openvino import OpenVinoEngine

        return OpenVinoEngine(file, precision, threads, window=window)
    if backend == "onnxruntime":
        from engines.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(file, threads, window)
    if backend == "torch":
        from engines.torch_eager import EagerEngine

        return EagerEngine(file, threads, window)
    raise ValueError(f"{backend} computes whole pictures only")
