"""`engines doctor`: which backends run here, how to install the others, how fast they are, and which to choose."""

from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

from engines.backends import FALLBACK_ORDER, Backend, BackendName, Precision, cpu_flags, cpu_name, has_nvidia_driver
from engines.cache import Cache
from engines.choose import FAILURES, Choice, candidates, trial
from engines.console import counted
from engines.cores import usable_cores
from realtime.live.bench import BenchResult, bench
from realtime.live.source import FileSource
from realtime.named_films import performers
from realtime.subject import Subject
from realtime.subject_clips import SubjectClips
from realtime.subject_engines import EngineConfig, choose_engines

LIVE_S = 5.0
"""For so long a live session is measured with what is recommended."""


class BackendReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a backend on this machine."""

    name: BackendName
    state: Literal["works", "missing", "no device", "fails"]
    versions: str
    advice: str
    """What to do about it; "" when it works."""
    ms: dict[Precision, float]
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
    live_fps: float
    """Pictures per second of a live session with it, pose and encoder included; the film plays at 30. 0 without one."""
    live_ms: float
    """From capture to encoded in that session, the median."""


def examine(subject: Subject, threads: int) -> DoctorReport:
    """Examine this machine, with a subject's networks to measure with."""
    cache = Cache()
    entries = cache.entries()
    backends = [_examine_backend(each, subject, threads) for each in FALLBACK_ORDER]
    best = _choose(subject, threads) if any(each.ms for each in backends) else None
    live = (
        _play(subject, EngineConfig(backend=best.backend, precision=best.precision, threads=threads)) if best else None
    )
    return DoctorReport(
        cpu=cpu_name(),
        cores=usable_cores(),
        cpu_flags=cpu_flags(),
        gpu=_gpu(),
        cache=str(cache.folder),
        cache_mib=round(sum(each.size_bytes for each in entries) / 2**20, 1),
        engines=len(entries),
        subject=subject.manifest.name,
        threads=threads,
        backends=backends,
        backend=best.backend if best else "",
        precision=best.precision if best else "",
        live_fps=live.fps if live else 0.0,
        live_ms=live.latency_ms.get("p50", 0.0) if live else 0.0,
    )


def show(report: DoctorReport) -> None:
    """Print a report for people."""
    print(f"Processor  {report.cpu}, {counted(report.cores, 'core')}")
    print(f"GPU        {report.gpu}")
    print(f"Cache      {report.cache}: {report.engines} entries, {report.cache_mib} MiB")
    title = f"{report.subject} on {counted(report.threads, 'thread')}"
    table = Table("backend", "state", "ms a picture", "versions", title=title)
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
            f"live {report.live_fps:.1f} of 30 fps, {report.live_ms:.0f} ms from capture to encoded."
        )


def _choose(subject: Subject, threads: int) -> Choice:
    """What plays the subject best. It is remembered, so that what was chosen in a busier moment is mended."""
    return choose_engines(subject, EngineConfig(threads=threads), lambda _: None, anew=True)[0]


def _play(subject: Subject, engines: EngineConfig) -> BenchResult:
    """A short session as `realtime bench` measures it: what each stage takes alone promises too much."""
    source = FileSource(next(iter(performers().values())), loop=True)
    return bench(subject, source, engines, seconds=LIVE_S, say=lambda _: None)


def _examine_backend(backend: Backend, subject: Subject, threads: int) -> BackendReport:
    ms: dict[Precision, float] = {}
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
        except FAILURES as error:
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
    except (*FAILURES, ModuleNotFoundError) as error:
        return f"none that can be used ({error})"
    return f"{gpu.name} {gpu.target}, driver {gpu.driver}"
