"""Everything that is known of footage before any picture is made of it, and the report about it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from engines.files import write_file
from realtime.frame import Rgb
from realtime.pose.pose import Pose
from realtime.pose.stabilize import PoseStabilizer
from trainer.footage.camera_motion import cuts, leaps, room_shift
from trainer.footage.crop import Crop, best_crop, tight_crop
from trainer.footage.report import FootageReport, Track, complete_report, seen_parts
from trainer.footage.report_page import page
from trainer.footage.scan import FootageScan
from trainer.footage.source import Timing

STILLS = 12
"""Pictures in the report."""


def analyse_footage(
    name: str,
    scanned: FootageScan,
    timing: Timing,
    learnt: int,
    *,
    size_px: tuple[int, int],
    box: tuple[int, int, int, int] | None,
) -> tuple[FootageReport, Track, list[tuple[int, Rgb]]]:
    """Say what footage is worth.

    Args:
        name: what it is called.
        scanned: what was seen in it.
        timing: which of its pictures are used.
        learnt: the first so many of these are trained on.
        size_px: width and height of the network's pictures.
        box: x, y, width, height of the part that somebody chose; None takes the largest that holds the person.

    Returns:
        The report, what was seen at the rate and in the pixels that are trained on, and pictures for the report.

    Raises:
        UserError: the chosen part does not fit.
    """
    counts = np.bincount(timing.picked, minlength=len(scanned.times_s))
    new_takes = cuts(scanned.frame_stats[:, -1])
    steady, again = PoseStabilizer(), set(new_takes.tolist())
    poses, parts, seen = list[Pose | None](), list[list[bool]](), list[bool]()
    for number, (raw, at_s) in enumerate(zip(scanned.poses(), scanned.times_s.tolist(), strict=True)):
        if number in again:
            steady.reset()
        pose = steady.step(raw, at_s)
        for _ in range(counts[number]):
            poses.append(pose)
            parts.append(seen_parts(raw))
            seen.append(raw is not None)
    people = [pose for pose in poses if pose is not None]
    whole = scanned.size_px
    if box is not None:
        crop = Crop.chosen(box, whole, size_px)
    else:
        centre = (whole[0] / 2, whole[1] / 2)
        crop = best_crop(people, whole, size_px) if people else Crop.at(whole, size_px, centre)
    stills = [(int(np.searchsorted(timing.picked, number)), still) for number, still in scanned.stills()]
    stills = [(number, still) for number, still in stills if number < len(poses)]
    track = Track(
        poses=[crop.pose(pose) if pose else None for pose in poses],
        seen=np.array(seen),
        parts=np.array(parts),
        frame_stats=scanned.frame_stats[timing.picked],
        breaks=_first_of(np.union1d(np.searchsorted(timing.picked, new_takes), leaps(poses)), round(timing.fps / 2)),
        fps=timing.fps,
    )
    report = FootageReport(
        video=name,
        length_s=len(poses) / timing.fps,
        person_s=sum(seen) / timing.fps,
        source_px=whole,
        source_fps=timing.source_fps,
        constant_rate=timing.constant,
        fps=timing.fps,
        crop=crop.box,
        size_px=size_px,
        sharpness=scanned.sharpness,
        crowded=scanned.crowded,
        room_shift=room_shift([still for _, still in stills], [_small(poses[n], still, whole) for n, still in stills]),
    )
    tight = tight_crop(people, whole, size_px) if people else None
    shown = stills[:: max(1, len(stills) // STILLS)][:STILLS]
    return complete_report(report, track, learnt, tight), track, shown


def _small(pose: Pose | None, still: Rgb, whole: tuple[int, int]) -> Pose | None:
    """The pose in a still's pixels."""
    k = np.float32(len(still) / whole[1])
    return pose and Pose(k * pose.xy, k * pose.depth, pose.confidence)


def _first_of(numbers: NDArray[np.intp], apart: int) -> NDArray[np.intp]:
    """Of numbers that are near each other the first."""
    return numbers[np.diff(numbers, prepend=-apart - 1) > apart]


def publish(report: FootageReport, track: Track, stills: Sequence[tuple[int, Rgb]], run: Path) -> None:
    """Write RUN/report.html, and print the short of it."""
    write_file(run / "report.html", page(report, track, stills).encode())
    table = Table(show_header=False, box=None, title=report.video, title_justify="left")
    for name, text in report.facts():
        table.add_row(name, text)
    console = Console()
    console.print(table)
    for sentence in report.advice:
        console.print(f"- {sentence}", markup=False, highlight=False)
