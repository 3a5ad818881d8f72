"""The backends that can run a network: what each one needs and offers. `engines.load` calls them."""

import ctypes
import importlib.util
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from engines.errors import UserError
from engines.install import install_line

BackendName = Literal["tensorrt", "tensorrt-rtx", "torch-tensorrt", "torch-cuda", "openvino", "onnxruntime", "torch"]
Precision = Literal["int8", "f16", "bf16", "f32"]
"""The arithmetic of a network's convolutions."""
Auto = Literal["auto"]
"""In the place of a backend or precision: whatever is fastest here."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A library that runs networks."""

    name: BackendName
    module: str
    """What has to be importable."""
    distributions: tuple[str, ...]
    """Its names in package registries; the installed versions are part of a built engine's key."""
    extra: str
    """The extra of this project that installs it; "" is the plain installation."""
    precisions: tuple[Precision, ...]
    """What it offers, fastest first."""
    device: Literal["cpu", "cuda"]

    @property
    def installed(self) -> bool:
        """Whether its module can be found; nothing is imported."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def usable(self) -> bool:
        """Whether it is installed and its device's driver is here."""
        return self.installed and (self.device == "cpu" or has_nvidia_driver())

    @property
    def install(self) -> str:
        """The command that installs it."""
        return install_line(self.extra)

    @property
    def versions(self) -> str:
        """E.g. "openvino 2026.4.0"; "" while it is not installed."""
        found = []
        for name in self.distributions:
            try:
                found.append(f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                continue
        return ", ".join(found)


FALLBACK_ORDER = (
    Backend(
        name="tensorrt",
        module="tensorrt",
        distributions=("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
        extra="tensorrt",
        precisions=("f16", "f32"),
        device="cuda",
    ),
    Backend(
        name="tensorrt-rtx",
        module="tensorrt_rtx",
        distributions=("tensorrt-rtx-cu13",),
        extra="tensorrt-rtx",
        precisions=("f16", "f32"),
        device="cuda",
    ),
    Backend(
        name="torch-tensorrt",
        module="torch_tensorrt",
        distributions=("torch-tensorrt", "tensorrt", "torch"),
        extra="torch-tensorrt",
        precisions=("f16", "f32"),
        device="cuda",
    ),
    Backend(
        name="torch-cuda",
        module="torch",
        distributions=("torch", "onnx"),
        extra="torch-cuda",
        precisions=("f16", "f32"),
        device="cuda",
    ),
    Backend(
        name="openvino",
        module="openvino",
        distributions=("openvino",),
        extra="",
        precisions=("int8", "bf16", "f32"),
        device="cpu",
    ),
    Backend(
        name="onnxruntime",
        module="onnxruntime",
        distributions=("onnxruntime", "onnxruntime-directml"),
        extra="onnxruntime",
        precisions=("f32",),
        device="cpu",
    ),
    Backend(
        name="torch",
        module="torch",
        distributions=("torch", "onnx"),
        extra="train",
        precisions=("f32",),
        device="cpu",
    ),
)
"""All backends, the one to try first in front."""

BACKENDS: Mapping[BackendName, Backend] = MappingProxyType({each.name: each for each in FALLBACK_ORDER})


def known_backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        ValueError: there is none.
    """
    for each in FALLBACK_ORDER:
        if each.name == name:
            return each
    raise ValueError(f"unknown backend {name!r}: choose one of {', '.join(BACKENDS)}")


def int8_graph(graph: Path) -> Path:
    """Where the int8 graph of a graph is: generator.onnx -> generator.int8.xml (its weights in generator.int8.bin)."""
    return graph.with_suffix(".int8.xml")


def graph_files(graph: Path, precision: Precision) -> tuple[Path, ...]:
    """The files that an engine of that precision is made from: the graph's, or those of its int8 graph.

    Raises:
        UserError: there is no int8 graph.
    """
    if precision != "int8":
        return (graph,)
    int8 = int8_graph(graph)
    if not int8.is_file():
        raise UserError(
            f"{graph} has no int8 graph, {int8.name}: export the subject again, or choose another precision."
        )
    return int8, int8.with_suffix(".bin")


def has_nvidia_driver() -> bool:
    """Whether CUDA's driver can be loaded."""
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


CPU_FLAGS = frozenset({"avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimddp"})
"""Instruction sets that decide which precision is fast, as Linux names them; *_vnni are for int8."""


def cpu_flags() -> list[str]:
    """Those of `CPU_FLAGS` that this processor has; none where there is no /proc/cpuinfo."""
    return sorted(CPU_FLAGS & set(_cpu_info().get("flags", _cpu_info().get("Features", "")).split()))


def cpu_name() -> str:
    """The processor's name and its `cpu_flags`."""
    name = _cpu_info().get("model name") or platform.processor() or platform.machine()
    return " ".join((name, *cpu_flags()))


def _cpu_info() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    first = info.read_text().split("\n\n")[0].splitlines() if info.is_file() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)}
