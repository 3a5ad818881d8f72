"""TensorRT-RTX: builds plans for several GPU generations anywhere, GPU or not. The only file that imports it."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tensorrt_rtx as trt

from engines.backends import Precision
from engines.errors import UserError
from engines.nvidia.plan_builder import Log, Progress, Sizes, build_plan, make_log
from engines.nvidia.plan_engine import PlanEngine, Shape
from engines.nvidia.plan_header import TARGETS, PlanHeader, check_targets, read_header

VERSION = str(trt.__version__)


@cache
def log() -> Log:
    """The process's one log of TensorRT-RTX."""
    return make_log(trt)


def build(
    graph: Path,
    *,
    precision: Precision = "f16",
    targets: Sequence[str] = TARGETS,
    sizes: Sizes = Sizes(),
    progress: Progress | None = None,
) -> bytes:
    """Build a plan for some GPU generations ("sm89"), and check it; see `build_plan`. Needs no GPU.

    Kernels are made from the plan on the machine that runs it, so there is no timing cache.
    """
    targets = check_targets(targets)
    plan = build_plan(
        trt,
        log(),
        graph,
        precision=precision,
        capabilities=[getattr(trt.ComputeCapability, target.upper()) for target in targets],
        sizes=sizes,
        progress=progress,
    )
    header = check(plan)
    assert header.targets == targets, f"built for {header.targets} instead of {targets}"
    return plan


def check(plan: bytes) -> PlanHeader:
    """The header of a plan that this version can run, on a GPU that it is for.

    Raises:
        UserError: it is damaged or of another version.
    """
    _, diagnostics = trt.Runtime(log()).get_engine_validity(plan)
    if diagnostics & int(trt.EngineInvalidityDiagnostics.MALFORMED_ENGINE):
        raise UserError("That is no TensorRT-RTX plan: build it again.")
    header = read_header(plan)
    if header.version != VERSION:
        raise UserError(f"The plan is of TensorRT-RTX {header.version}, and {VERSION} is installed: build it again.")
    return header


class TensorRtRtxEngine(PlanEngine):
    """An `Engine` on TensorRT-RTX, from a plan of this version whose targets include this GPU.

    Args:
        plan: what `build` made.
        shapes: of the inputs with free axes.
    """

    def __init__(self, plan: bytes, shapes: Mapping[str, Shape] | None = None) -> None:
        check(plan)
        super().__init__(trt, log(), plan, shapes or {}, _make_context)


def _make_context(engine: Any) -> Any:
    """Kernels for the shapes at hand are all made at the start: none may be made while a step is recorded."""
    config = engine.create_runtime_config()
    config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    return engine.create_execution_context(config)
