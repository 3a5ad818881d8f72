"""Measure a live session without people: the same threads, engines and encoder, for a while."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engines.cores import usable_cores
from realtime.live.opening import open_session
from realtime.live.pipeline import BESIDE, CHAIN
from realtime.live.quality import FULL, LEVELS, QualityConfig
from realtime.live.session import Session
from realtime.live.source import Source
from realtime.pose.estimation.config import PoseConfig
from realtime.subject import Subject
from realtime.subject_engines import EngineConfig

WARM_UP_S = 3.0


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """The last line that `realtime bench` prints."""

    fps: float
    """Encoded pictures per second."""
    latency_ms: dict[str, float]
    """Capture to encoded: p50, p95, p99."""
    stages_ms: dict[str, dict[str, float]]
    """p50 and p95 of each part of the way, in order; the parts of a frame add up to its latency, without parts and
    render at levels that reproject."""
    rendered_fps: float
    """Renderings per second; at levels that reproject there are more pictures than those."""
    seen: float
    """Share of the frames with somebody in them: the others cost less."""
    dropped: int
    """Frames that a newer one overtook."""
    size: int
    """Side of the picture in pixels."""
    backend: str
    precision: str
    threads: int
    replaced: int
    """Broken pictures."""
    quality: str
    """The level at the end; see `realtime.live.quality`."""
    cpu_share: float
    """Processor time of this process, by that of all cores."""


def bench(
    subject: Subject,
    source: Source,
    engines: EngineConfig,
    pose: PoseConfig = PoseConfig(),
    quality: QualityConfig = FULL,
    *,
    seconds: float,
    say: Callable[[str], object] = print,
) -> BenchResult:
    """Run a session for `seconds` after a warm-up, encoding every picture as if somebody watched."""
    session = open_session(subject, source, engines, pose, always=True, quality=quality, say=say)
    with Progress(transient=True) as progress:
        task = progress.add_task("Measuring", total=WARM_UP_S + seconds)
        with running(session):
            return measure(
                session, engines, seconds, tell=lambda done_s: progress.update(task, completed=WARM_UP_S + done_s)
            )


@contextmanager
def running(session: Session) -> Iterator[None]:
    """Run a session until it is warm, and then for the length of the block."""
    try:
        session.start()
        session.wait(WARM_UP_S)
        yield
    finally:
        session.stop()


def measure(
    session: Session, engines: EngineConfig, seconds: float, *, tell: Callable[[float], object] = lambda done_s: None
) -> BenchResult:
    """Measure a running session for `seconds`, or until it ends by itself.

    Args:
        session: encodes every picture.
        engines: what it was opened with.
        seconds: how long.
        tell: called now and then with the seconds measured so far.
    """
    session.meter.clear()
    rendered = session.meter.total("render")[0]
    dropped, looked_at, seen = sum(session.dropped.values()), session.looked_at, session.seen
    begun_at_s, cpu_begun_s = time.perf_counter(), time.process_time()
    elapsed_s, ended = 0.0, False
    while elapsed_s < seconds and not ended:
        tell(elapsed_s)
        ended = session.wait(min(0.5, seconds - elapsed_s))
        elapsed_s = time.perf_counter() - begun_at_s
    cpu_share = (time.process_time() - cpu_begun_s) / elapsed_s / usable_cores()
    return BenchResult(
        fps=round(session.meter.count("latency") / elapsed_s, 2),
        latency_ms=session.meter.percentiles_ms("latency", 50, 95, 99),
        stages_ms={stage: session.meter.percentiles_ms(stage, 50, 95) for stage in CHAIN},
        rendered_fps=round((session.meter.total("render")[0] - rendered) / elapsed_s, 2),
        seen=round((session.seen - seen) / max(1, session.looked_at - looked_at), 3),
        dropped=sum(session.dropped.values()) - dropped,
        size=session.renderer.subject.manifest.height_px,
        backend=session.renderer.choice.backend,
        precision=session.renderer.choice.precision,
        replaced=session.renderer.replaced,
        threads=engines.threads,
        quality=session.level.name,
        cpu_share=round(cpu_share, 3),
    )


def show(result: BenchResult) -> None:
    """A table for people, and one line of JSON for programs."""
    table = Table("stage", "p50 ms", "p95 ms", "p99 ms", title=_title(result))
    reprojects = any(level.reproject for level in LEVELS if level.name == result.quality)
    for stage, ms in (result.stages_ms | {"capture to encoded": result.latency_ms}).items():
        name = f"({stage})" if reprojects and stage in BESIDE else stage
        table.add_row(name, *(str(ms.get(percent, "")) for percent in ("p50", "p95", "p99")))
    if reprojects:
        table.caption = f"(beside the way of a picture: {result.rendered_fps} renderings a second)"
    Console().print(table)
    print(msgspec.json.encode(result).decode())


def _title(result: BenchResult) -> str:
    shown = f"{result.fps} fps at {result.size} px and {result.quality} quality"
    return f"{shown}, somebody in {result.seen:.0%} of the frames"
