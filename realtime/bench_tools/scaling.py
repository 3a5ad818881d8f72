"""`realtime bench --scaling`: smaller pictures, one core and all, one viewer and a hundred."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

from engines.choose import Choice
from engines.console import progress_bar
from engines.cores import CAN_BIND, bound_to, usable_cores
from realtime.bench_tools.renderer import can_shrink, small_renderer, whole_renderer
from realtime.bench_tools.viewers import FPS, ViewersRow, bench_viewers
from realtime.live.bench import measure, running
from realtime.live.opening import open_session
from realtime.live.output import fitted
from realtime.live.quality import FULL
from realtime.live.source import FileSource
from realtime.pose.estimation.config import PoseConfig
from realtime.subject import Subject, load_subject
from realtime.subject_engines import EngineConfig, choose_engines
from realtime.video import read_video

A = TypeVar("A")
R = TypeVar("R")

HEIGHTS_PX = (256, 384, 512)
VIEWERS = (1, 10, 50, 100)
PICTURES = 60
"""That viewers are shown over and over."""
ABOUT = (
    "Pictures smaller than the subject's own: its networks, computed for so many\n"
    "pixels. Each row is a process of its own that is bound to its cores. Viewers\n"
    "connect by WebRTC (aiortc) from another process and count what they get, neither\n"
    "decrypted nor decoded; what each costs is the server's part, at 30 fps, beyond\n"
    "the first viewer's."
)


class SizeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session of one size on so many cores."""

    height_px: int
    cores: int
    fps: float
    """Encoded pictures per second."""
    latency_ms: dict[str, float]
    """Capture to encoded: p50, p95, p99."""
    core_ms: float
    """Processor time of the whole session for each picture."""
    dropped: int
    """Frames that a newer one overtook."""


class ScalingResult(msgspec.Struct, frozen=True, kw_only=True):
    """The last line that `realtime bench --scaling` prints."""

    sizes: list[SizeRow]
    viewers: list[ViewersRow]
    viewer_percent: float
    """Of a core, for each viewer beyond the first, at 30 fps."""
    backend: str
    precision: str


@dataclass(frozen=True, kw_only=True)
class SizeTask:
    """What one process measures."""

    folder: Path
    """The subject's."""
    video: Path
    height_px: int
    cores: int
    engines: EngineConfig
    choice: Choice
    """What runs the networks."""
    pose: PoseConfig
    seconds: float


def bench_scaling(
    subject: Subject,
    video: Path,
    engines: EngineConfig,
    pose: PoseConfig = PoseConfig(),
    *,
    seconds: float,
    say: Callable[[str], object] = print,
) -> ScalingResult:
    """Measure for `seconds` each: sessions of every size on one core and on all, and every number of viewers.

    Raises:
        UserError: the subject cannot be played here, or viewers do not connect.
    """
    choice, *_ = choose_engines(subject, engines, say)
    own_px = subject.manifest.height_px
    smaller = [height for height in HEIGHTS_PX if height < own_px]
    if smaller and not can_shrink(subject, choice):
        say(f"{subject.manifest.name} has no smaller pictures on {choice}.")
        smaller = []
    tasks = [
        SizeTask(
            folder=subject.folder,
            video=video,
            height_px=height_px,
            cores=cores,
            engines=replace(engines, threads=min(engines.threads, cores)),
            choice=choice,
            pose=pose,
            seconds=seconds,
        )
        for height_px in (*smaller, own_px)
        for cores in _core_counts(say)
    ]
    pictures = [fitted(rgb, subject.size_px) for rgb, _ in islice(read_video(video), PICTURES)]
    with progress_bar(transient=True) as progress:
        size_rows = [
            on_cores(task.cores, _measure_size, task) for task in progress.track(tasks, description="Sizes and cores")
        ]
        viewer_rows = [
            bench_viewers(pictures, count, seconds) for count in progress.track(VIEWERS, description="Viewers")
        ]
    return ScalingResult(
        sizes=size_rows,
        viewers=viewer_rows,
        viewer_percent=viewer_percent(viewer_rows),
        backend=choice.backend,
        precision=choice.precision,
    )


def viewer_percent(rows: Sequence[ViewersRow]) -> float:
    """Percent of a core that a viewer more costs at 30 fps, from the fewest and the most; 0 if there is one row."""
    least, most = rows[0], rows[-1]
    if most.viewers == least.viewers:
        return 0.0
    return round((most.core_ms - least.core_ms) / (most.viewers - least.viewers) * FPS / 1000 * 100, 3)


def on_cores(cores: int, work: Callable[[A], R], argument: A) -> R:
    """Do `work` in a process that is bound to so many cores before it loads libraries, which start threads then."""
    with bound_to(cores), ProcessPoolExecutor(1, get_context("spawn")) as executor:
        return executor.submit(work, argument).result()


def _measure_size(task: SizeTask) -> SizeRow:
    subject, threads = load_subject(str(task.folder)), task.engines.threads
    if task.height_px < subject.manifest.height_px:
        renderer = small_renderer(subject, task.height_px, task.choice, threads)
    else:
        renderer = whole_renderer(subject, task.choice, threads)
    source = FileSource(task.video, loop=True)
    session = open_session(
        renderer.subject, source, task.engines, task.pose, always=True, quality=FULL, renderer=renderer
    )
    with running(session):
        busy_s = process_time()
        found = measure(session, task.engines, task.seconds)
        busy_s = process_time() - busy_s
        encoded = max(1, session.meter.count("latency"))
    return SizeRow(
        height_px=task.height_px,
        cores=task.cores,
        fps=found.fps,
        latency_ms=found.latency_ms,
        core_ms=round(1000 * busy_s / encoded, 1),
        dropped=found.dropped,
    )


def _core_counts(say: Callable[[str], object]) -> list[int]:
    """One core and all, where the system lets programs be bound."""
    if not CAN_BIND:
        say("Programs cannot be bound to cores here: all cores only.")
        return [usable_cores()]
    return sorted({1, usable_cores()})


def show(result: ScalingResult) -> None:
    """Two tables for people, and one line of JSON for programs."""
    sizes = Table("px", "cores", "fps", "p50 ms", "p95 ms", "core ms a picture", title="Sizes and cores")
    for row in result.sizes:
        latencies = (str(row.latency_ms.get(percent, "")) for percent in ("p50", "p95"))
        sizes.add_row(str(row.height_px), str(row.cores), str(row.fps), *latencies, str(row.core_ms))
    title = f"Viewers: {result.viewer_percent} % of a core each"
    viewers = Table("viewers", "fps", "core ms a picture", "Mbit/s each", title=title)
    for each in result.viewers:
        viewers.add_row(str(each.viewers), str(each.fps), str(each.core_ms), str(each.received_mbit_s))
    console = Console()
    console.print(sizes)
    console.print(viewers)
    print(ABOUT)
    print(msgspec.json.encode(result).decode())
