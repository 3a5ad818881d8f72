"""`realtime bench-pose`: times the pose estimator, side by side with the library whose networks it runs."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from math import ceil
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from engines.console import counted
from engines.cores import bound_to
from engines.errors import UserError
from realtime.frame import Rgb
from realtime.meter import Meter
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import ESTIMATION_STAGES, Estimator, PoseEstimator, load_estimator
from realtime.video import read_video

CHUNK = 30
"""Frames that one of the two sees before it is the other's turn; the first chunk warms both up."""
_WORKER = Path(__file__).parent / "holistic_worker.py"
_QUIET = {"GLOG_minloglevel": "2", "TF_CPP_MIN_LOG_LEVEL": "2"}
Times = NDArray[np.float64]
"""Seconds of wall and of processor time."""


class PoseBenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """The last line that `realtime bench-pose` prints. All times are those of frames in which somebody was seen."""

    frames: int
    """Frames measured, from the first one with a person on, after the warm-up."""
    seen: int
    """Those in which somebody was seen."""
    skipped: int
    """Frames before the first one with a person."""
    width: int
    height: int
    cores: int
    """Both estimators are bound to so many cores, the same ones."""
    estimator: str
    parts: str
    effort: str
    ms: dict[str, float]
    """Frame to pose: mean, p50, p95."""
    stages_ms: dict[str, dict[str, float]]
    """The same of each stage, of all frames measured."""
    processor_ms: float
    """Mean processor time, which other programs on the machine change less."""
    mediapipe_ms: dict[str, float] | None
    """Frame to landmarks of the library's Holistic; null where there is no such library."""
    mediapipe_processor_ms: float | None
    ratio: float | None
    """Our mean over the library's: where networks take turns a median would leave some of them out."""
    processor_ratio: float | None


class HolisticProcess:
    """The `mediapipe` library's Holistic in another process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def time(self, chunk: Sequence[Rgb]) -> list[Times]:
        """Wall and processor seconds for each picture."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode([len(chunk), *chunk[0].shape[:2]]) + b"\n")
            for rgb in chunk:
                self._process.stdin.write(np.ascontiguousarray(rgb).data)
            self._process.stdin.flush()
            return list(np.array(msgspec.json.decode(self._process.stdout.readline())).T)
        except (OSError, msgspec.DecodeError) as error:
            with suppress(OSError):
                self._process.stdin.close()  # else what is left in it would be said to be the trouble
            raise UserError("The process of the mediapipe library has ended: leave out --mediapipe-python.") from error


@contextmanager
def holistic_process(python: Path | None) -> Iterator[HolisticProcess | None]:
    """Start the library by an environment's Python; yields None without one.

    Raises:
        UserError: it does not run there.
    """
    if python is None:
        yield None
        return
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user says which Python
                [python, _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=os.environ | _QUIET
            )
        except OSError as error:
            raise UserError(f"{python} cannot be run ({error.strerror}): give the path of a Python.") from error
        with process:
            assert process.stdout is not None
            if not process.stdout.readline():
                log.seek(0)
                reason = (log.read().decode(errors="replace").strip().splitlines() or ["it ended at once"])[-1]
                raise UserError(f"mediapipe does not run in {python} ({reason}): pip install mediapipe==0.10.21 there.")
            yield HolisticProcess(process)
            assert process.stdin is not None
            process.stdin.close()


def bench_pose(
    video: Path, config: PoseConfig, *, frames: int, cores: int, mediapipe_python: Path | None
) -> PoseBenchResult:
    """Time the estimator in `frames` of a video, in turns with the library; begins where somebody is seen first.

    Args:
        video: is read until the end if need be.
        config: which estimator, and what it does.
        frames: to measure, after a warm-up of `CHUNK`.
        cores: that both are bound to.
        mediapipe_python: Python of an environment with mediapipe 0.10.21; None: this one, if it has the library.

    Raises:
        UserError: the video cannot be read, shows nobody or too little of them; the library does not run there.
    """
    python = mediapipe_python or (Path(sys.executable) if importlib.util.find_spec("mediapipe") else None)
    cv2.setNumThreads(1)  # as in a live session
    with bound_to(cores), holistic_process(python) as library:
        estimator = load_estimator(config, threads=cores)
        skipped, pictures = _from_first_person(video, estimator)
        shape = _warm_up(list(islice(pictures, CHUNK)), estimator, library)
        # The library as an estimator does not time its stages.
        meter = estimator.meter if isinstance(estimator, PoseEstimator) else Meter(*ESTIMATION_STAGES)
        meter.clear()
        seen, ours, theirs = _measure(islice(pictures, frames), frames, estimator, library)
    if not any(seen):
        raise UserError(
            f"{video} shows somebody in too few frames, {CHUNK} are the warm-up: give a video with more of the person."
        )
    ms = np.array(ours)[seen] * 1000
    their_ms = np.array(theirs)[seen] * 1000 if theirs else None
    return PoseBenchResult(
        frames=len(seen),
        seen=sum(seen),
        skipped=skipped,
        width=shape[1],
        height=shape[0],
        cores=cores,
        estimator=config.estimator,
        parts=config.pose_parts,
        effort=config.pose_effort,
        ms=_summary(ms[:, 0]),
        stages_ms={stage: _summary(times) for stage in ESTIMATION_STAGES if len(times := meter.times_ms(stage))},
        processor_ms=round(float(ms[:, 1].mean()), 2),
        mediapipe_ms=None if their_ms is None else _summary(their_ms[:, 0]),
        mediapipe_processor_ms=None if their_ms is None else round(float(their_ms[:, 1].mean()), 2),
        ratio=None if their_ms is None else round(float(ms[:, 0].mean() / their_ms[:, 0].mean()), 3),
        processor_ratio=None if their_ms is None else round(float(ms[:, 1].mean() / their_ms[:, 1].mean()), 3),
    )


def _from_first_person(video: Path, estimator: Estimator) -> tuple[int, Iterator[Rgb]]:
    """How many pictures come before the first one with somebody in it, and the pictures from that one on."""
    numbered = enumerate(rgb for rgb, _ in read_video(video))
    for number, rgb in numbered:
        if estimator.estimate(rgb) is not None:
            return number, chain([rgb], (rgb for _, rgb in numbered))
    raise UserError(f"Nobody is seen in {video}: give a video of one person.")


def _measure(
    pictures: Iterator[Rgb], count: int, estimator: Estimator, library: HolisticProcess | None
) -> tuple[list[bool], list[Times], list[Times]]:
    """Whether somebody was seen in each picture, and the times of the estimator and of the library."""
    seen, ours, theirs = list[bool](), list[Times](), list[Times]()
    chunks = iter(lambda: list(islice(pictures, CHUNK)), [])
    for chunk in track(chunks, "Measuring", total=ceil(count / CHUNK), transient=True):
        for rgb in chunk:
            begun_s = _clocks_s()
            seen.append(estimator.estimate(rgb) is not None)
            ours.append(_clocks_s() - begun_s)
        if library is not None:
            theirs.extend(library.time(chunk))
    return seen, ours, theirs


def show(result: PoseBenchResult) -> None:
    """A table for people, and one line of JSON for programs."""
    title = (
        f"{result.parts}, {result.effort}: {result.width}x{result.height}, bound to {counted(result.cores, 'core')}\n"
        f"somebody in {result.seen} of {result.frames} frames, {result.skipped} before them were skipped"
    )
    table = Table("", "mean ms", "p50 ms", "p95 ms", "processor ms", title=title)
    for stage, ms in result.stages_ms.items():
        table.add_row(f"  {stage}", *map(str, ms.values()), "")
    table.add_row("frame to pose", *map(str, result.ms.values()), str(result.processor_ms))
    if result.mediapipe_ms is not None:
        table.add_row("mediapipe", *map(str, result.mediapipe_ms.values()), str(result.mediapipe_processor_ms))
        table.add_row("ratio", str(result.ratio), "", "", str(result.processor_ratio))
    Console().print(table)
    print(msgspec.json.encode(result).decode())


def _warm_up(chunk: Sequence[Rgb], estimator: Estimator, library: HolisticProcess | None) -> tuple[int, int]:
    """Let both see a chunk; returns the pictures' height and width."""
    for rgb in chunk:
        estimator.estimate(rgb)
    if library is not None:
        library.time(chunk)
    return chunk[0].shape[0], chunk[0].shape[1]


def _clocks_s() -> Times:
    """Wall and processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def _summary(ms: Times) -> dict[str, float]:
    values = {"mean": ms.mean(), **{f"p{percent}": np.percentile(ms, percent) for percent in (50, 95)}}
    return {name: round(float(value), 2) for name, value in values.items()}
