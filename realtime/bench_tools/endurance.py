"""`realtime bench --minutes`: do memory and latency stay as they are?"""

import threading
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from engines.errors import UserError
from engines.verify import host_bytes
from realtime.live.bench import BenchResult, measure, running
from realtime.live.opening import open_session
from realtime.live.quality import FULL, QualityConfig
from realtime.live.source import Source
from realtime.pose.estimation.config import PoseConfig
from realtime.subject import Subject
from realtime.subject_engines import EngineConfig

SLICE_S = 60.0
MEMORY_FACTOR, MEMORY_MIB = 1.05, 16.0
"""The last minute may take so many times the memory of the first one, and so much more."""
LATENCY_FACTOR, LATENCY_MS = 1.2, 5.0
"""Its median latency may be so many times that of the first one, and so much more."""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """A minute of a session."""

    fps: float
    latency_ms: dict[str, float]
    """Capture to encoded: p50, p95, p99."""
    dropped: int
    """Frames that a newer one overtook."""
    memory_mib: float
    """Resident at its end; 0 where the system does not tell."""
    threads: int
    """At its end, those of Python."""


class EnduranceResult(msgspec.Struct, frozen=True, kw_only=True):
    """The last line that `realtime bench --minutes` prints."""

    minutes: float
    slice_s: float
    """Length of what is called a minute: 60 s, or less where the whole is shorter than two minutes."""
    first: Slice
    last: Slice
    memory_mib_per_hour: float
    latency_ms_per_hour: float
    """Slope of the median latencies."""
    grown: list[str]
    """What grew by more than it may."""
    slices: list[Slice]


def bench_endurance(
    subject: Subject,
    source: Source,
    engines: EngineConfig,
    pose: PoseConfig = PoseConfig(),
    quality: QualityConfig = FULL,
    *,
    minutes: float,
    say: Callable[[str], object] = print,
) -> EnduranceResult:
    """Run a session that encodes every picture, minute after minute.

    Raises:
        UserError: the source ended before.
    """
    count = max(2, round(minutes * 60 / SLICE_S))
    slice_s = minutes * 60 / count
    session = open_session(subject, source, engines, pose, always=True, quality=quality, say=say)
    slices = list[Slice]()
    with Progress(transient=True) as progress:
        task = progress.add_task("Measuring", total=minutes * 60)
        with running(session):
            for number in range(count):
                tell = partial(_tell, progress, task, number * slice_s)
                found = measure(session, engines, slice_s, tell=tell)
                if not found.latency_ms or session.wait(0):
                    raise UserError(f"The source ended in part {number + 1} of {count}: give one that goes on.")
                slices.append(_slice(found))
                progress.update(task, description=_so_far(slices[-1]))
    return summary(minutes, slice_s, slices)


def summary(minutes: float, slice_s: float, slices: Sequence[Slice]) -> EnduranceResult:
    """What the first and the last of at least two slices say, and how all of them lean."""
    first, last = slices[0], slices[-1]
    return EnduranceResult(
        minutes=minutes,
        slice_s=round(slice_s, 1),
        first=first,
        last=last,
        memory_mib_per_hour=_slope([each.memory_mib for each in slices], slice_s),
        latency_ms_per_hour=_slope([each.latency_ms["p50"] for each in slices], slice_s),
        grown=list(_grown(first, last)),
        slices=list(slices),
    )


def _slice(found: BenchResult) -> Slice:
    return Slice(
        fps=found.fps,
        latency_ms=found.latency_ms,
        dropped=found.dropped,
        memory_mib=round(host_bytes() / 2**20, 1),
        threads=threading.active_count(),
    )


def _grown(first: Slice, last: Slice) -> list[str]:
    memory_mib = MEMORY_FACTOR * first.memory_mib + MEMORY_MIB
    latency_ms = LATENCY_FACTOR * first.latency_ms["p50"] + LATENCY_MS
    grown = {
        f"memory to {last.memory_mib} MiB, {memory_mib:.0f} are allowed": last.memory_mib > memory_mib,
        f"latency to {last.latency_ms['p50']} ms, {latency_ms:.0f} are allowed": last.latency_ms["p50"] > latency_ms,
    }
    return [what for what, is_grown in grown.items() if is_grown]


def _slope(values: Sequence[float], slice_s: float) -> float:
    """Change per hour, by least squares."""
    return round(float(np.polyfit(np.arange(len(values)) * slice_s / 3600, values, 1)[0]), 2)


def _tell(progress: Progress, task: TaskID, before_s: float, done_s: float) -> None:
    progress.update(task, completed=before_s + done_s)


def _so_far(last: Slice) -> str:
    return f"{last.fps:.1f} fps, {last.latency_ms['p50']:.0f} ms, {last.memory_mib:.0f} MiB"


def show(result: EnduranceResult) -> None:
    """A table for people, and one line of JSON for programs."""
    minute = "minute" if result.slice_s == SLICE_S else f"{result.slice_s:g} s"
    table = Table("", f"first {minute}", f"last {minute}", "drift an hour", title=f"{result.minutes:g} minutes")
    first, last = result.first, result.last
    table.add_row("fps", str(first.fps), str(last.fps), "")
    for percent in ("p50", "p95"):
        drift = f"{result.latency_ms_per_hour:+} ms" if percent == "p50" else ""
        table.add_row(f"latency {percent} ms", str(first.latency_ms[percent]), str(last.latency_ms[percent]), drift)
    memory_drift = f"{result.memory_mib_per_hour:+} MiB"
    table.add_row("memory MiB", str(first.memory_mib), str(last.memory_mib), memory_drift)
    table.add_row("threads", str(first.threads), str(last.threads), "")
    table.add_row("dropped frames", str(first.dropped), str(last.dropped), "")
    Console().print(table)
    print("\n".join(f"Grown: {each}" for each in result.grown) or "Nothing grew.")
    print(msgspec.json.encode(result).decode())
