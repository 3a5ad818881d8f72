"""TensorRT: builds for, and runs on, the GPU of this machine. The only file that imports it."""

from functools import cache
from pathlib import Path

import tensorrt as trt

from engines.backends import Precision
from engines.nvidia.plan_builder import Log, Progress, build_plan, make_log
from engines.nvidia.plan_engine import PlanEngine


@cache
def log() -> Log:
    """The process's one log of TensorRT."""
    return make_log(trt)


def build(
    graph: Path,
    *,
    precision: Precision = "f16",
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Build a plan for this machine's GPU; see `build_plan`."""
    return build_plan(trt, log(), graph, precision=precision, timing_cache=timing_cache, progress=progress)


class TensorRtEngine(PlanEngine):
    """An `Engine` on TensorRT, from a plan of this version and this GPU."""

    def __init__(self, plan: bytes) -> None:
        super().__init__(trt, log(), plan, lambda engine: engine.create_execution_context())
