"""Build plans with TensorRT or TensorRT-RTX: their Python modules have the same interface, and the one meant is `trt`.

graph (ONNX) ─ strongly typed ─ parser ─ builder ─ plan (bytes)
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engines.backends import Precision
from engines.errors import UserError
from engines.files import write_file
from engines.nvidia.onnx_precision import PRECISIONS, strongly_typed

Progress = Callable[[str, int, int], None]
"""Called with the name of a phase, its steps done and its steps in all; from any thread."""


def build_plan(
    trt: Any,
    log: "Log",
    graph: Path,
    *,
    precision: Precision = "f16",
    capabilities: Sequence[Any] = (),
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Build a plan from an exported graph.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        log: where it writes, `make_log(trt)`.
        graph: ONNX file, f32 inside, uint8 or f32 at the ends, with static shapes.
        precision: "f16" (inside; the last steps stay in f32) or "f32" (without TF32).
        capabilities: members of `trt.ComputeCapability`; none: for the GPU of this machine.
        timing_cache: file that keeps what was measured of kernels, written again afterwards; None: kept nowhere.
        progress: told how far the builder is.

    Raises:
        UserError: the graph has what this TensorRT does not know, or it cannot build here.
        ValueError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)} for {trt.__name__}, not {precision!r}")
    model = strongly_typed(graph, precision).SerializeToString()
    log.errors.clear()
    builder = trt.Builder(log)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    for take in ("supports_model_v2", "parse"):  # each fills the network
        network = builder.create_network(typed)
        parser = trt.OnnxParser(network, log)
        if not getattr(parser, take)(model):
            raise UserError(f"{trt.__name__} {trt.__version__} cannot take {graph}: {_refusal(parser)}.")
    config = builder.create_builder_config()
    if precision == "f32":
        config.clear_flag(trt.BuilderFlag.TF32)
    if capabilities:
        config.num_compute_capabilities = len(capabilities)
        for index, capability in enumerate(capabilities):
            config.set_compute_capability(capability, index)
    if progress:
        config.progress_monitor = monitor = _make_monitor(trt, progress)  # noqa: F841 the config does not keep it alive
    if timing_cache:
        kept = timing_cache.read_bytes() if timing_cache.is_file() else b""
        config.set_timing_cache(config.create_timing_cache(kept), ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise UserError(f"{trt.__name__} {trt.__version__} cannot build {graph} here: {log.last_error()}.")
    if timing_cache:
        write_file(timing_cache, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _refusal(parser: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if not errors:
        return "it gives no reason"
    error = errors[0]
    where = f"operator {error.node_operator() or 'unknown'} at {error.node_name() or 'no name'}"
    return f"{where}: {_first_line(error.desc())}"


class Log:
    """What TensorRT says, the errors kept. It takes one log per process: get this by `make_log`, once."""

    errors: list[str]

    def last_error(self) -> str:
        """The first line of the last error that tells more than where in the code it was raised."""
        told = [error for error in self.errors if not error.startswith("[")]
        return _first_line(told[-1]) if told else "it gives no reason"


def make_log(trt: Any) -> Log:
    """A logger for `trt`'s builders and runtimes."""

    class TensorRtLog(trt.ILogger, Log):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return TensorRtLog()


def _make_monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, step + 1, self._steps[phase_name])
            return True

        def phase_finish(self, phase_name: str) -> None:
            del self._steps[phase_name]

    return Monitor()


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].rstrip(".")
