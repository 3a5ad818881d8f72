"""Engines for NVIDIA GPUs: built once, kept in the user's cache, loaded from there."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from engines.backends import BackendName, Precision, known_backend
from engines.cache import Cache, Cached, Key
from engines.cache_key import engine_key
from engines.errors import UserError
from engines.nvidia.plan_builder import Progress, Sizes
from engines.nvidia.plan_header import TARGETS, check_targets
from engines.recurrent import DeviceEngine

if TYPE_CHECKING:
    from engines.nvidia.cuda import Device

PLAN = "engine.plan"
PROGRAM = "engine.pt2"
BUILD_S = "build_s"
"""Name of the figure in the cache's entry."""

Shape = tuple[int, ...]
T = TypeVar("T")


def build_ahead(
    graph: Path,
    *,
    name: str,
    precision: Precision = "f16",
    targets: Sequence[str] = TARGETS,
    sizes: Sizes = Sizes(),
    cache: Cache,
    progress: Progress | None = None,
) -> Cached:
    """The TensorRT-RTX plan of a graph for some generations of GPUs, none of which has to be here.

    Args:
        graph: ONNX file, see `engines.nvidia.plan_builder.build_plan`.
        name: for people, e.g. "alice/generator".
        precision: "f16" or "f32".
        targets: of `TARGETS`.
        sizes: for free axes.
        cache: where it is kept.
        progress: told how far the builder is.

    Raises:
        UserError: TensorRT-RTX is not installed, or cannot take the graph or a target.
    """
    targets = check_targets(targets)
    with _installed("tensorrt-rtx"):
        from engines.nvidia import tensorrt_rtx

    def build(folder: Path) -> Mapping[str, float]:
        plan, metrics = _timed(
            lambda: tensorrt_rtx.build(graph, precision=precision, targets=targets, sizes=sizes, progress=progress)
        )
        (folder / PLAN).write_bytes(plan)
        return metrics

    return cache.get_or_build(_ahead_key(graph, precision, targets, sizes), name, build)


def build_here(
    graph: Path,
    *,
    name: str,
    backend: BackendName,
    precision: Precision = "f16",
    sizes: Sizes = Sizes(),
    cache: Cache,
    progress: Progress | None = None,
) -> Cached:
    """The engine of a graph for this machine's GPU by any of the three backends; see `build_ahead`.

    With "tensorrt-rtx" whatever the cache has for a GPU of this generation will do.

    Raises:
        UserError: there is no GPU, the backend is not installed, or it cannot take the graph.
    """
    if backend == "tensorrt-rtx":
        found = find_ahead(graph, precision, _find_gpu(backend).target, sizes, cache)
        return found or build_ahead(graph, name=name, precision=precision, sizes=sizes, cache=cache, progress=progress)
    gpu = _find_gpu(backend)
    key = engine_key(
        graph, backend, precision, device=f"{gpu.name} {gpu.target}", driver=gpu.driver, options=str(sizes)
    )

    def build(folder: Path) -> Mapping[str, float]:
        if backend == "torch-tensorrt":
            from engines.nvidia import torch_tensorrt

            return _timed(lambda: torch_tensorrt.build(graph, folder / PROGRAM, precision=precision))[1]
        from engines.nvidia import tensorrt

        timings = cache.folder / f"{msgspec.structs.replace(key, graph='', precision='', options='').digest}.timings"
        plan, metrics = _timed(
            lambda: tensorrt.build(graph, precision=precision, sizes=sizes, timing_cache=timings, progress=progress)
        )
        (folder / PLAN).write_bytes(plan)
        return metrics

    with _installed(backend):
        return cache.get_or_build(key, name, build)


def load_on_gpu(
    graph: Path,
    backend: BackendName,
    precision: Precision,
    *,
    shapes: Mapping[str, Shape] | None = None,
    sizes: Sizes = Sizes(),
    cache: Cache | None = None,
) -> DeviceEngine:
    """An engine on this machine's GPU, built first unless the cache has it.

    Args:
        graph: ONNX file.
        backend: "tensorrt", "tensorrt-rtx" or "torch-tensorrt".
        precision: "f16" or "f32".
        shapes: of the inputs with free axes.
        sizes: what it is built for, if it is.
        cache: None is the user's own.

    Raises:
        UserError: there is no GPU, the backend is not installed, or it cannot take the graph.
    """
    name = f"{graph.parent.name}/{graph.stem}"
    built = build_here(graph, name=name, backend=backend, precision=precision, sizes=sizes, cache=cache or Cache())
    if backend == "tensorrt-rtx":
        from engines.nvidia.tensorrt_rtx import TensorRtRtxEngine

        return TensorRtRtxEngine((built.folder / PLAN).read_bytes(), shapes)
    if backend == "torch-tensorrt":
        from engines.nvidia.torch_tensorrt import TorchTensorRtEngine

        return TorchTensorRtEngine(graph, built.folder / PROGRAM)
    from engines.nvidia.tensorrt import TensorRtEngine

    return TensorRtEngine((built.folder / PLAN).read_bytes(), shapes)


def _ahead_key(graph: Path, precision: Precision, targets: Sequence[str], sizes: Sizes) -> Key:
    return engine_key(graph, "tensorrt-rtx", precision, device=" ".join(targets), options=str(sizes))


def find_ahead(graph: Path, precision: Precision, target: str, sizes: Sizes, cache: Cache) -> Cached | None:
    """A plan in the cache that fits the GPU, whatever else it was built for."""
    if target not in TARGETS:
        raise UserError(f"TensorRT-RTX runs on {', '.join(TARGETS)}, and this GPU is {target}: use --backend tensorrt.")
    wanted = _ahead_key(graph, precision, TARGETS, sizes)
    for each in cache.entries():
        key = each.entry.key
        if msgspec.structs.replace(key, device=wanted.device) == wanted and target in key.device.split():
            return each
    return None


def _timed(build: Callable[[], T]) -> tuple[T, Mapping[str, float]]:
    begun_at_s = time.perf_counter()
    built = build()
    return built, {BUILD_S: round(time.perf_counter() - begun_at_s, 2)}


@contextmanager
def _installed(backend: BackendName) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"The {backend} backend needs {error.name}: {known_backend(backend).install}.") from error


def describe_gpu(backend: BackendName) -> dict[str, str]:
    """What a backend would run on, for people.

    Raises:
        UserError: there is no GPU, or the backend is not installed.
    """
    known, gpu = known_backend(backend), _find_gpu(backend)
    metrics = {"gpu": gpu.name, "generation": gpu.target, "driver_cuda": gpu.driver, "runtime_cuda": gpu.runtime}
    return metrics | {"versions": known.versions}


def _find_gpu(backend: BackendName) -> "Device":
    known = known_backend(backend)
    if not known.installed:
        raise UserError(f"The {backend} backend needs {known.module}: {known.install}.")
    with _installed(backend):
        from engines.nvidia.cuda import find_device
    return find_device()
