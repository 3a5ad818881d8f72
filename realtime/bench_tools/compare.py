"""`realtime bench --compare`: beside the usual way, on the same clip and the same cores."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import compress, islice
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import cv2
import msgspec
from rich.console import Console
from rich.table import Table

from engines.console import progress_bar
from engines.cores import usable_cores
from engines.errors import UserError
from realtime.bench_tools.renderer import BenchRenderer, whole_renderer
from realtime.bench_tools.usual import FPS, Cost, ViewerEncoder, open_holistic, time_paper_step
from realtime.frame import Frame, Rgb
from realtime.live.bench import BenchResult, bench
from realtime.live.pipeline import STAGES, PosePipeline, RenderPipeline, ShowPipeline
from realtime.live.source import FileSource
from realtime.meter import Meter
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.track import PoseTrack
from realtime.pose_tools.bench import HolisticProcess, Times
from realtime.subject import Subject
from realtime.subject_engines import EngineConfig, choose_engines
from realtime.video import read_video
from server.encoder import LiveEncoder
from server.stream import RUNGS

CHUNK = 30
"""Frames that one way sees before it is the other's turn; those of the first chunk warm both up."""
SHARE = 0.5
"""Of --seconds that is looked at frame by frame; all of it is played live."""
PARTS = ("pose", "figure", "networks", "encode")
ABOUT = (
    "Usual: MediaPipe's Holistic, the paper's networks in torch (random weights), an\n"
    "encoder of aiortc for each viewer, of whom this is one; ours encodes once for\n"
    "all. A loop of these parts alone gives its fps and latency. Core ms: processor\n"
    "time of all cores, part by part. Our fps and latency: a live session, capture to\n"
    "encoded."
)


class ComparedPart(msgspec.Struct, frozen=True, kw_only=True):
    """What a part of a frame's way takes in either way, in the mean of the frames with somebody in them."""

    usual: Cost | None
    """None where it was not measured."""
    ours_core_ms: float
    ratio: float | None
    """Core milliseconds, ours over the usual ones."""


class CompareResult(msgspec.Struct, frozen=True, kw_only=True):
    """The last line that `realtime bench --compare` prints."""

    size: int
    """Side of the picture in pixels."""
    frames: int
    """Looked at by both, with somebody in them."""
    parts: dict[str, ComparedPart]
    core_ms: ComparedPart
    """A frame's whole way, for one viewer."""
    usual_fps: float | None
    fps: float
    fps_ratio: float | None
    usual_latency_ms: float | None
    latency_ms: float
    """Capture to encoded, p50."""
    latency_ratio: float | None
    missing: dict[str, str]
    """What was not measured, and how to get it."""
    backend: str
    precision: str
    threads: int


class CoreMeter(Meter):
    """A meter of processor time, of all threads of this process: while nothing else runs, that of the block."""

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Measure a block."""
        begun_s = time.process_time()
        yield
        self.add(stage, time.process_time() - begun_s)


class Ours:
    """What a live session does with a frame, one part after the other."""

    def __init__(self, renderer: BenchRenderer, pose: PoseConfig) -> None:
        self._meter = CoreMeter(*STAGES)
        track = PoseTrack.of(pose.for_skeleton(renderer.subject.manifest.skeleton_version))
        self._pose, self._render = PosePipeline(track, renderer, self._meter), RenderPipeline(self._meter)
        self._show = ShowPipeline(self._meter, badge=True)
        self._renderer, self._encoder, self._number = renderer, LiveEncoder("VP8", RUNGS[0], fps=FPS), 0

    def step(self, rgb: Rgb) -> tuple[Rgb, dict[str, float] | None]:
        """The picture, and the core milliseconds of each part; None while nobody is there."""
        self._meter.clear()
        frame = Frame(rgb=rgb, captured_at_s=time.perf_counter(), number=self._number)
        self._number += 1
        drawn = self._pose.step(frame, self._renderer)
        picture = self._show.step(self._render.step(drawn))
        assert picture, "it was rendered"
        with self._meter.time("encode"):
            self._encoder.encode(picture.rgb, picture.captured_at_s, key=False)
        stages = {"pose": "pose", "figure": "figure", "networks": "render", "encode": "encode"}
        costs_ms = {part: self._meter.percentiles_ms(stage, 50)["p50"] for part, stage in stages.items()}
        return picture.rgb, None if drawn.no_person else costs_ms


def bench_compare(
    subject: Subject,
    video: Path,
    engines: EngineConfig,
    pose: PoseConfig = PoseConfig(),
    *,
    seconds: float,
    mediapipe_python: Path | None = None,
    say: Callable[[str], object] = print,
) -> CompareResult:
    """Measure both ways on a video, in turns where they can take turns.

    Raises:
        UserError: the video shows nobody, or something that is installed does not run.
    """
    cv2.setNumThreads(1)  # as in a live session
    choice, *_ = choose_engines(subject, engines, say)
    frames = CHUNK + max(1, round(SHARE * seconds * FPS))
    ours = Ours(whole_renderer(subject, choice, engines.threads), pose)
    with open_holistic(mediapipe_python) as library:
        measured = _side_by_side(video, frames, ours, None if isinstance(library, str) else library)
        found: dict[str, Cost | str] = {"pose": library if isinstance(library, str) else Cost.of(measured.poses_s)}
    say("Timing the paper's networks in torch, which takes a while.")
    found["networks"] = time_paper_step(subject.size_px, usable_cores())
    found["encode"] = Cost.of(measured.encodes_s)
    live = bench(subject, FileSource(video, loop=True), engines, pose, seconds=seconds, say=say)
    return summary(measured.ours_ms, found, live)


class Measured(NamedTuple):
    """What was measured in the frames with somebody in them."""

    ours_ms: list[Mapping[str, float]]
    poses_s: list[Times]
    encodes_s: list[Times]


def _side_by_side(video: Path, frames: int, ours: Ours, library: HolisticProcess | None) -> Measured:
    """Let all see the same frames, in turns."""
    measured, encoder = Measured([], [], []), ViewerEncoder()
    pictures = islice((rgb for rgb, _ in read_video(video)), frames)
    with progress_bar(transient=True) as progress:
        task = progress.add_task("Frame by frame", total=frames)
        for number, chunk in enumerate(iter(lambda: list(islice(pictures, CHUNK)), [])):
            stepped = [ours.step(rgb) for rgb in chunk]
            encodes_s = [encoder.time(picture) for picture, _ in stepped]
            poses_s = library.time(chunk) if library else []
            progress.update(task, advance=len(chunk))
            if number == 0:
                continue
            seen = [costs_ms is not None for _, costs_ms in stepped]
            measured.ours_ms.extend(costs_ms for _, costs_ms in stepped if costs_ms is not None)
            measured.poses_s.extend(compress(poses_s, seen))
            measured.encodes_s.extend(compress(encodes_s, seen))
    if not measured.ours_ms:
        raise UserError(
            f"{video} shows nobody in the frames {CHUNK} to {frames}: give a video with more of the person."
        )
    return measured


def summary(
    ours_ms: Sequence[Mapping[str, float]], found: Mapping[str, Cost | str], live: BenchResult
) -> CompareResult:
    """The ratios.

    Args:
        ours_ms: core milliseconds of `PARTS` of each frame.
        found: what the parts of the usual way take, or how to install what was missing.
        live: a session's.
    """
    usual = {part: cost for part, cost in found.items() if isinstance(cost, Cost)}
    missing = {part: line for part, line in found.items() if isinstance(line, str)}
    parts = {part: _part(usual.get(part), fmean(each[part] for each in ours_ms)) for part in PARTS}
    loop = None if missing else Cost.total(usual.values())
    loop_ms, loop_fps = (None, None) if loop is None else (loop.ms, round(1000 / loop.ms, 3))
    return CompareResult(
        size=live.size,
        frames=len(ours_ms),
        parts=parts,
        core_ms=_part(loop, sum(each.ours_core_ms for each in parts.values())),
        usual_fps=loop_fps,
        fps=live.fps,
        fps_ratio=_ratio(live.fps, loop_fps),
        usual_latency_ms=loop_ms,
        latency_ms=live.latency_ms["p50"],
        latency_ratio=_ratio(live.latency_ms["p50"], loop_ms),
        missing=missing,
        backend=live.backend,
        precision=live.precision,
        threads=live.threads,
    )


def _part(usual: Cost | None, ours_core_ms: float) -> ComparedPart:
    ratio = _ratio(ours_core_ms, None if usual is None else usual.core_ms)
    return ComparedPart(usual=usual, ours_core_ms=round(ours_core_ms, 2), ratio=ratio)


def _ratio(ours: float, usual: float | None) -> float | None:
    """To three digits."""
    return None if usual is None else float(f"{ours / usual:.3g}")


def show(result: CompareResult) -> None:
    """A table for people, and one line of JSON for programs."""
    title = f"{result.size} px, {result.frames} frames with somebody in them"
    table = Table("", "usual", "ours", "ours / usual", title=title)
    for part, each in result.parts.items():
        table.add_row(f"  {part}, core ms", *_cells(each))
    table.add_row("a frame, core ms", *_cells(result.core_ms))
    table.add_row("frames per second", _cell(result.usual_fps), str(result.fps), _cell(result.fps_ratio))
    latency = _cell(result.usual_latency_ms), str(result.latency_ms), _cell(result.latency_ratio)
    table.add_row("latency ms", *latency)
    Console().print(table)
    for part, line in result.missing.items():
        print(f"The usual {part}: {line}")
    print(ABOUT)
    print(msgspec.json.encode(result).decode())


def _cells(part: ComparedPart) -> tuple[str, str, str]:
    return _cell(None if part.usual is None else part.usual.core_ms), str(part.ours_core_ms), _cell(part.ratio)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
