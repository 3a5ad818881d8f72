"""`realtime pose`: a video with the poses drawn over it, and a report about them.

OUT/
  pose.mp4      the video with the figure over it (unsure parts fade), and dots: the keypoints before smoothing
  report.html   metrics and plots; needs nothing from outside
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import msgspec
import numpy as np

from engines.console import progress_bar
from engines.errors import UserError
from engines.files import check_free, check_writable, disk_full_message, legible, write_file
from realtime.frame import Rgb
from realtime.pose.blur_meter import BlurMeter
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.figure.limbs import draw
from realtime.pose.pose import Pose
from realtime.pose.quality import Truth, load_truth
from realtime.pose.track import PoseTrack
from realtime.pose_tools.report import TruthReport, compare_with_truth, page, report_track
from realtime.video import count_frames, film_length_s, frame_rate, read_visible
from realtime.video_writer import VideoWriter

STILL_COUNT = 6
"""Pictures in the report."""


@dataclass(slots=True)
class RecordedTrack:
    """The poses in a part of a video, raw and smoothed."""

    fps: float
    first: int = 0
    """Number of the first frame."""
    raw: list[Pose | None] = field(default_factory=list)
    smooth: list[Pose | None] = field(default_factory=list)
    stills: list[Rgb] = field(default_factory=list)
    sharpness: float | None = None


def report_poses(
    video: Path,
    out: Path,
    config: PoseConfig = PoseConfig(),
    *,
    truth: Path | None,
    start_s: float,
    end_s: float,
    replace: bool = False,
) -> None:
    """Write OUT/pose.mp4 and OUT/report.html; print the report for people and, as the last line, as JSON.

    Raises:
        UserError: the video or the truth cannot be read, there is no picture in the range, there is no such estimator,
            or something would be overwritten and `replace` does not allow it.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out is a folder, and {out} is a file: give another name.")
    annotated, page_file = out / "pose.mp4", out / "report.html"
    for path in (annotated, page_file):
        check_free(path, replace=replace)
    if not 0 <= start_s < end_s:
        raise UserError(f"--start-s must be from 0 to below --end-s, not {start_s:g} to {end_s:g}.")
    length_s = 0.0 if video.is_dir() else film_length_s(video)
    if 0 < length_s <= start_s:
        raise UserError(f"The video {video} lasts {length_s:.1f} s: choose an earlier --start-s than {start_s:g}.")
    check_writable(out)
    total = count_frames(video)
    exact = load_truth(truth, 1) if truth else None
    track = PoseTrack.of(config)
    with _made(out), disk_full_message(annotated.name, out):
        recorded = _record(video, track, annotated, total, start_s, end_s)
    frames = range(recorded.first, recorded.first + len(recorded.raw))
    report = report_track(legible(video.name), recorded.raw, recorded.smooth, recorded.fps, recorded.sharpness)
    rows: Truth | None = None
    if truth and exact:
        rows = load_truth(truth, frames.stop).rows(frames)
        report = msgspec.structs.replace(report, truth=_against(rows, recorded))
    write_file(page_file, page(report, recorded.raw, recorded.smooth, recorded.stills, rows).encode())
    for line in report.lines():
        print(line)
    print(f"Look at {annotated} and {page_file}")
    print(msgspec.json.encode(report).decode())


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and those around it, for the block; what is new and still empty when it fails is deleted."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # there is something in it
            for each in new:
                each.rmdir()
        raise


def _against(truth: Truth, recorded: RecordedTrack) -> dict[str, TruthReport]:
    return {
        name: compare_with_truth(truth, poses, recorded.fps)
        for name, poses in (("raw", recorded.raw), ("smooth", recorded.smooth))
    }


def _record(video: Path, track: PoseTrack, annotated: Path, total: int, start_s: float, end_s: float) -> RecordedTrack:
    fps = frame_rate(video)
    wanted = max(0, min(total, round(min(end_s, total / fps) * fps)) - round(start_s * fps))
    recorded, still_every = RecordedTrack(fps), max(1, wanted // STILL_COUNT)
    blur = BlurMeter(memory=10_000)
    with progress_bar(transient=True) as progress, VideoWriter(annotated, fps, crf=23) as writer:
        task = progress.add_task("Watching", total=wanted or None)
        for number, (rgb, at_s) in enumerate(read_visible(video)):
            if at_s >= end_s:
                break
            if at_s < start_s:
                continue
            if not recorded.raw:
                recorded.first = number
            tracked = track.step(rgb, at_s)
            blur.see(rgb, tracked.seen)
            recorded.raw.append(tracked.seen)
            recorded.smooth.append(tracked.pose)
            picture = annotate(rgb, tracked.seen, tracked.pose, at_s)
            writer.write(picture)
            if len(recorded.raw) % still_every == still_every // 2 and len(recorded.stills) < STILL_COUNT:
                recorded.stills.append(picture)
            progress.advance(task)
        if not recorded.raw:
            raise UserError(f"The video {video} has no picture from {start_s:g} s on: choose an earlier --start-s.")
    recorded.sharpness = None if blur.sharpness is None else round(blur.sharpness, 3)
    return recorded


def annotate(rgb: Rgb, raw: Pose | None, smooth: Pose | None, at_s: float) -> Rgb:
    """A darker copy of a picture (sides cut to even) with the figure, the keypoints as they were seen, and the time."""
    height, width = (side // 2 * 2 for side in rgb.shape[:2])
    figure = draw(smooth, height, width)
    picture = np.where(figure.any(axis=2, keepdims=True), figure // 4 * 3 + rgb[:height, :width] // 4,
                       rgb[:height, :width] // 8 * 5)  # fmt: skip
    picture = np.ascontiguousarray(picture, np.uint8)
    if raw is not None:
        for (x, y), sure in zip(np.clip(raw.xy, -9999, 9999).round().astype(int), raw.confidence, strict=True):
            if sure > 0:
                cv2.circle(picture, (int(x), int(y)), 1, (255 * float(sure),) * 3, -1, cv2.LINE_AA)
    state = "seen" if raw is not None else "nobody" if smooth is None else "held"
    cv2.putText(
        picture, f"{at_s:.2f} s  {state}", (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA
    )
    return picture
