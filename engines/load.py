"""Load a graph as an engine."""

from pathlib import Path

from engines.engine import Engine
from engines.errors import UserError


def load_engine(
    graph: Path,
    *,
    backend: str = "openvino",
    precision: str = "f32",
    threads: int = 1,
    outputs: tuple[str, ...] | None = None,
) -> Engine:
    """Load an exported graph.

    Args:
        graph: ONNX file (or .tflite for OpenVINO) with static shapes.
        backend: "openvino", or "torch", the slow twin.
        precision: "f32", or "bf16" with openvino.
        threads: number of cores one run may use, at least 1.
        outputs: names of the outputs that are wanted; what only the others need is not computed. None: all.

    Raises:
        UserError: the graph is missing or cannot be read.
        ValueError: unknown backend, precision or output.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if not graph.is_file():
        raise UserError(f"The network {graph} is missing: install or export it again.")
    if backend == "openvino":
        from engines.openvino import PRECISIONS, OpenVinoEngine

        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)} for openvino, not {precision!r}")
        try:
            return OpenVinoEngine(graph, precision, threads, outputs)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"OpenVINO cannot read {graph}: {reason}") from error
    if backend == "torch":
        try:
            from engines.eager import EagerEngine
        except ModuleNotFoundError as error:
            raise UserError("The torch backend needs torch and onnx: pip install 'bodydouble[train]'.") from error
        if precision != "f32":
            raise ValueError(f"precision must be f32 for torch, not {precision!r}")
        return EagerEngine(graph, threads)
    raise ValueError(f"unknown backend {backend!r}: choose openvino or torch")
