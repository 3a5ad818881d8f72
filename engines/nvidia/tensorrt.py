"""TensorRT: builds for, and runs on, the GPU of this machine. The only file that imports it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import tensorrt as trt

from engines.backends import Precision
from engines.nvidia.plan_builder import Log, Progress, Sizes, build_plan, make_log
from engines.nvidia.plan_engine import PlanEngine, Shape

VERSION = str(trt.__version__)


@cache
def log() -> Log:
    """The process's one log of TensorRT."""
    return make_log(trt)


def build(
    graph: Path,
    *,
    precision: Precision = "f16",
    sizes: Sizes = Sizes(),
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Build a plan for this machine's GPU; see `build_plan`."""
    return build_plan(trt, log(), graph, precision=precision, sizes=sizes, timing_cache=timing_cache, progress=progress)


class TensorRtEngine(PlanEngine):
    """An `Engine` on TensorRT, from a plan of this version and this GPU."""

    def __init__(self, plan: bytes, shapes: Mapping[str, Shape] | None = None) -> None:
        super().__init__(trt, log(), plan, shapes or {}, lambda engine: engine.create_execution_context())
