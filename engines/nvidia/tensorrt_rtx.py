"""TensorRT-RTX: builds plans for several GPU generations anywhere, GPU or not. The only file that imports it."""

import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import tensorrt_rtx as trt

from engines.backends import Precision
from engines.errors import UserError
from engines.nvidia.plan_builder import Log, Progress, build_plan, make_log
from engines.nvidia.plan_engine import PlanEngine

VERSION = str(trt.__version__)
TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120")
"""Compute capabilities by the bit that they have in a plan."""

# The header of a plan is documented nowhere; this is what release 1.7 writes, and the tests hold it to real plans:
# 0 "vtrt" | 8 format u64 | 16 bytes of all u64 | 24 major, minor, patch, build u8 | 28 "vtrt" | 32 targets u32
_HEADER = struct.Struct("<4s4xQQ4B4sI")
_MAGIC = b"vtrt"


class PlanHeader(NamedTuple):
    """What a plan says of itself."""

    version: str
    """Of the TensorRT-RTX that built it, and the only one that can run it: "1.7.1.116"."""
    targets: tuple[str, ...]
    """GPU generations that it runs on, of `TARGETS`."""


@cache
def log() -> Log:
    """The process's one log of TensorRT-RTX."""
    return make_log(trt)


def build(
    graph: Path,
    *,
    precision: Precision = "f16",
    targets: Sequence[str] = TARGETS,
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


def check_targets(targets: Sequence[str]) -> tuple[str, ...]:
    """The targets, in the order of `TARGETS`.

    Raises:
        UserError: there are none, or one is unknown.
    """
    unknown = [target for target in targets if target not in TARGETS]
    if unknown or not targets:
        raise UserError(f"TensorRT-RTX builds for {', '.join(TARGETS)}, not for {', '.join(unknown) or 'nothing'}.")
    return tuple(target for target in TARGETS if target in targets)


def read_header(plan: bytes) -> PlanHeader:
    """Read and check the header of a whole plan.

    Raises:
        UserError: no plan, or only a part of one.
    """
    if len(plan) < _HEADER.size:
        raise UserError(f"The TensorRT-RTX plan has only {len(plan)} bytes: build it again.")
    magic, _, length, *version, again, bits = _HEADER.unpack_from(plan)
    if magic != _MAGIC or again != _MAGIC:
        raise UserError("That is no TensorRT-RTX plan: build it again.")
    if length != len(plan):
        raise UserError(f"The TensorRT-RTX plan has {len(plan)} bytes instead of {length}: build it again.")
    targets = tuple(target for bit, target in enumerate(TARGETS) if bits >> bit & 1)
    return PlanHeader(".".join(map(str, version)), targets)


class TensorRtRtxEngine(PlanEngine):
    """An `Engine` on TensorRT-RTX, from a plan of this version whose targets include this GPU."""

    def __init__(self, plan: bytes) -> None:
        check(plan)
        super().__init__(trt, log(), plan, _make_context)


def _make_context(engine: Any) -> Any:
    """Kernels for the shapes at hand are all made at the start: none may be made while a step is recorded."""
    config = engine.create_runtime_config()
    config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    return engine.create_execution_context(config)
