"""Engines for NVIDIA GPUs: built once, kept in the user's cache, loaded from there."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from engines.backends import BackendName, Precision, known_backend
from engines.cache import Cache, Cached, Key, engine_key
from engines.errors import UserError
from engines.recurrent import DeviceEngine

if TYPE_CHECKING:
    from engines.nvidia.cuda import Device
    from engines.nvidia.plan_builder import Progress

PLAN = "engine.plan"
PROGRAM = "engine.pt2"
BUILD_S = "build_s"
"""Name of the metric in the cache's entry."""

T = TypeVar("T")


def build_ahead(
    graph: Path,
    *,
    name: str,
    precision: Precision = "f16",
    targets: Sequence[str] | None = None,
    cache: Cache,
    progress: "Progress | None" = None,
) -> Cached:
    """The TensorRT-RTX plan of a graph for some generations of GPUs, none of which has to be here.

    Args:
        graph: ONNX file, see `engines.nvidia.plan_builder.build_plan`.
        name: for people, e.g. "alice/generator".
        precision: "f16" or "f32".
        targets: of `engines.nvidia.tensorrt_rtx.TARGETS`; None: all.
        cache: where it is kept.
        progress: told how far the builder is.

    Raises:
        UserError: TensorRT-RTX is not installed, or cannot take the graph or a target.
    """
    with _installed("tensorrt-rtx"):
        from engines.nvidia import tensorrt_rtx
    checked = tensorrt_rtx.TARGETS if targets is None else tensorrt_rtx.check_targets(targets)

    def build(folder: Path) -> Mapping[str, float]:
        plan, metrics = _timed(
            lambda: tensorrt_rtx.build(graph, precision=precision, targets=checked, progress=progress)
        )
        (folder / PLAN).write_bytes(plan)
        return metrics

    return cache.get_or_build(_ahead_key(graph, precision, checked), name, build)


def build_here(
    graph: Path,
    *,
    name: str,
    backend: BackendName,
    precision: Precision = "f16",
    cache: Cache,
    progress: "Progress | None" = None,
) -> Cached:
    """The engine of a graph for this machine's GPU by any of its backends; see `build_ahead`.

    With "tensorrt-rtx" any plan in the cache that is for this generation of GPUs will do; "torch-cuda" has no files.

    Raises:
        UserError: there is no GPU, the backend is not installed, or it cannot take the graph.
    """
    gpu = _find_gpu(backend)
    if backend == "tensorrt-rtx":
        found = find_ahead(graph, precision, gpu.target, cache)
        return found or build_ahead(graph, name=name, precision=precision, cache=cache, progress=progress)
    key = engine_key(graph, backend, precision, device=f"{gpu.name} {gpu.target}", driver=gpu.driver)

    def build(folder: Path) -> Mapping[str, float]:
        if backend == "torch-cuda":
            return {}
        if backend == "torch-tensorrt":
            from engines.nvidia import torch_engine

            return _timed(lambda: torch_engine.build(graph, folder / PROGRAM, precision=precision))[1]
        from engines.nvidia import tensorrt

        timings = cache.folder / f"{msgspec.structs.replace(key, graph='', precision='').digest}.timings"
        plan, metrics = _timed(
            lambda: tensorrt.build(graph, precision=precision, timing_cache=timings, progress=progress)
        )
        (folder / PLAN).write_bytes(plan)
        return metrics

    with _installed(backend):
        return cache.get_or_build(key, name, build)


def load_on_gpu(graph: Path, backend: BackendName, precision: Precision, *, cache: Cache | None = None) -> DeviceEngine:
    """An engine on this machine's GPU, built first unless the cache has it.

    Args:
        graph: ONNX file.
        backend: "tensorrt", "tensorrt-rtx", "torch-tensorrt" or "torch-cuda".
        precision: "f16" or "f32".
        cache: None is the user's own.

    Raises:
        UserError: there is no GPU, the backend is not installed, or it cannot take the graph.
    """
    if backend == "torch-cuda":
        from engines.nvidia.torch_engine import TorchCudaEngine

        return TorchCudaEngine(graph, precision)
    name = f"{graph.parent.name}/{graph.stem}"
    built = build_here(graph, name=name, backend=backend, precision=precision, cache=cache or Cache())
    if backend == "tensorrt-rtx":
        from engines.nvidia.tensorrt_rtx import TensorRtRtxEngine

        return TensorRtRtxEngine((built.folder / PLAN).read_bytes())
    if backend == "torch-tensorrt":
        from engines.nvidia.torch_engine import TorchTensorRtEngine

        return TorchTensorRtEngine(graph, built.folder / PROGRAM)
    from engines.nvidia.tensorrt import TensorRtEngine

    return TensorRtEngine((built.folder / PLAN).read_bytes())


def find_ahead(graph: Path, precision: Precision, target: str, cache: Cache) -> Cached | None:
    """A TensorRT-RTX plan in the cache that is for a generation of GPUs, whatever else it is for.

    Raises:
        UserError: TensorRT-RTX is not installed, or does not run on that generation.
    """
    with _installed("tensorrt-rtx"):
        from engines.nvidia.tensorrt_rtx import TARGETS
    if target not in TARGETS:
        raise UserError(f"TensorRT-RTX runs on {', '.join(TARGETS)}, and this GPU is {target}: use --backend tensorrt.")
    wanted = _ahead_key(graph, precision, TARGETS)
    for each in cache.entries():
        key = each.entry.key
        if msgspec.structs.replace(key, device=wanted.device) == wanted and target in key.device.split():
            return each
    return None


def describe_gpu(backend: BackendName) -> dict[str, str]:
    """What a backend would run on, for people.

    Raises:
        UserError: there is no GPU, or the backend is not installed.
    """
    known, gpu = known_backend(backend), _find_gpu(backend)
    described = {"gpu": gpu.name, "generation": gpu.target, "driver_cuda": gpu.driver, "runtime_cuda": gpu.runtime}
    return described | {"versions": known.versions}


def _ahead_key(graph: Path, precision: Precision, targets: Sequence[str]) -> Key:
    return engine_key(graph, "tensorrt-rtx", precision, device=" ".join(targets))


def _timed(build: Callable[[], T]) -> tuple[T, Mapping[str, float]]:
    begun_at_s = time.perf_counter()
    built = build()
    return built, {BUILD_S: round(time.perf_counter() - begun_at_s, 2)}


@contextmanager
def _installed(backend: BackendName) -> Iterator[None]:
    """Turn the error of a missing package into a sentence."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"The {backend} backend needs {error.name}: {known_backend(backend).install}.") from error


def _find_gpu(backend: BackendName) -> "Device":
    known = known_backend(backend)
    if not known.installed:
        raise UserError(f"The {backend} backend needs {known.module}: {known.install}.")
    with _installed(backend):
        from engines.nvidia.cuda import find_device
    return find_device()
