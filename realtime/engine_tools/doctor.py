"""`engines doctor`: which backends run here, how to install the others, how fast they are, and which to choose."""

import os
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

from engines.backends import FALLBACK_ORDER, Backend, cpu_flags, cpu_name, has_nvidia_driver
from engines.cache import Cache
from engines.choose import candidates, trial
from engines.errors import UserError
from realtime.subject import Subject
from realtime.subject_clips import SubjectClips

LIVE_MS = 1000 / 30 * 0.9
"""At most so long may a picture take in the renderer at 30 fps."""


class BackendReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a backend on this machine."""

    name: str
    state: Literal["works", "missing", "no device", "fails"]
    versions: str
    advice: str
    """What to do about it; "" when it works."""
    ms: dict[str, float]
    """Milliseconds a picture, by precision."""


class DoctorReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `engines doctor --json` prints."""

    cpu: str
    cores: int
    cpu_flags: list[str]
    gpu: str
    cache: str
    cache_mib: float
    engines: int
    subject: str
    threads: int
    backends: list[BackendReport]
    backend: str
    """The recommended one, "" if none works."""
    precision: str
    size_px: int
    """The longest side of a square picture that such a network renders at 30 fps."""


def examine(subject: Subject, threads: int) -> DoctorReport:
    """Examine this machine, with a subject's networks to measure with."""
    cache = Cache()
    entries = cache.entries()
    backends = [_examine_backend(each, subject, threads) for each in FALLBACK_ORDER]
    found_ms = {(each.name, precision): ms for each in backends for precision, ms in each.ms.items()}
    backend, precision = min(found_ms, key=found_ms.__getitem__) if found_ms else ("", "")
    height, width, _ = subject.plate.shape
    side_px = (height * width * LIVE_MS / found_ms[backend, precision]) ** 0.5 if found_ms else 0
    return DoctorReport(
        cpu=cpu_name(),
        cores=os.cpu_count() or 1,
        cpu_flags=cpu_flags(),
        gpu=_gpu(),
        cache=str(cache.folder),
        cache_mib=round(sum(each.size_bytes for each in entries) / 2**20, 1),
        engines=len(entries),
        subject=subject.manifest.name,
        threads=threads,
        backends=backends,
        backend=backend,
        precision=precision,
        size_px=int(side_px) // 32 * 32,
    )


def show(report: DoctorReport) -> None:
    """Print a report for people."""
    print(f"Processor  {report.cpu}, {report.cores} cores")
    print(f"GPU        {report.gpu}")
    print(f"Cache      {report.cache}: {report.engines} entries, {report.cache_mib} MiB")
    table = Table("backend", "state", "ms a picture", "versions", title=f"{report.subject} on {report.threads} threads")
    for each in report.backends:
        metrics = "  ".join(f"{precision} {ms}" for precision, ms in each.ms.items())
        table.add_row(each.name, each.state, metrics, each.versions)
    Console().print(table)
    for each in report.backends:
        if each.advice:
            print(f"{each.name}: {each.advice}")
    if report.backend:
        print(
            f"Recommended: --backend {report.backend} --precision {report.precision} --threads {report.threads}, "
            f"live at 30 fps up to {report.size_px} x {report.size_px} pixels."
        )


def _examine_backend(backend: Backend, subject: Subject, threads: int) -> BackendReport:
    ms: dict[str, float] = {}
    state: Literal["works", "missing", "no device", "fails"] = "works"
    advice = ""
    if not backend.installed:
        state, advice = "missing", backend.install
    elif not backend.usable:
        state, advice = "no device", "needs an NVIDIA GPU and its driver"
    else:
        clips = SubjectClips.of(subject)
        try:
            for choice in candidates(subject.graphs, backend.name):
                engines = [choice.load(graph, threads) for graph in subject.graphs]
                ms[choice.precision] = round(trial(engines, lambda pair: clips.play(*pair))[1], 2)
        except UserError as error:
            state, advice = "fails", str(error)
    return BackendReport(
        name=backend.name, state=state, versions=backend.versions if backend.installed else "", advice=advice, ms=ms
    )


def _gpu() -> str:
    if not has_nvidia_driver():
        return "none that can be used (no NVIDIA driver)"
    try:
        from engines.nvidia.cuda import find_device

        gpu = find_device()
    except (UserError, ModuleNotFoundError) as error:
        return f"none that can be used ({error})"
    return f"{gpu.name} {gpu.target}, driver {gpu.driver}"
