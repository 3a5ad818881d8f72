"""From footage to training data: pictures at network size, the pose in each, the empty room, the person's range.

RUN/
  report.html      what the footage is worth: look at it before you train
  data/
    frames.mp4     every picture, at a constant rate
    poses.npz      xy [N, K, 2], depth [N, K], confidence [N, K], float32, in pixels of frames.mp4; seen [N] bool
    plate.png      the empty room; grey where the camera moves
    prepare.json   `Prepared`
    watched/       what was seen so far, until all of this is there
"""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.pose.load import load_estimator
from realtime.pose.motion import MotionRange, observe
from realtime.pose.openpose import read_openpose
from realtime.pose.pose import Pose
from realtime.pose.proportions import Proportions, lengths, measure_proportions
from realtime.pose.steady import Steady
from realtime.pose.styles import load_style
from trainer.camera import cuts, leaps, room_shift
from trainer.coach import Report, Track, judge, seen_parts
from trainer.coach_page import page
from trainer.crop import Crop, best_crop, tight_crop
from trainer.cut import cut_pictures
from trainer.material import Material, Timing, constant_rate, open_material
from trainer.watch import See, Watched, forget, watch

HELD_OUT_S, HELD_OUT_PART = 40.0, 0.15
"""The end of the footage, so long but no more than this part, is never learnt from in any way, only judged on."""
STILLS = 12
"""Pictures in the report."""


class Prepared(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What `prepare.json` says."""

    video: str
    """File name of the footage."""
    width_px: int
    height_px: int
    """Of the pictures."""
    fps: float
    frames: int
    seen: int
    """Frames with the person in them."""
    motion: MotionRange
    proportions: Proportions | None = None
    figure_style: str = "limbs"
    """How the poses are drawn."""
    figure_version: int = 1
    source_fps: float | None = None
    """What the footage was filmed at, where it was noted."""
    crop: tuple[int, int, int, int] | None = None
    """The part of the footage that is used: x, y, width, height in its pixels; None where that was not noted."""
    static: bool = True
    """The camera stands still, and the plate shows the room."""


def prepare(
    video: Path,
    run: Path,
    *,
    size_px: tuple[int, int],
    estimator: str = "own",
    openpose: Path | None = None,
    figure: str | None = None,
    crop: tuple[int, int, int, int] | None = None,
    fps: float | None = None,
    only_report: bool = False,
) -> Prepared | None:
    """Prepare footage for training; what was done before a stop is not done again.

    Args:
        video: the footage, or a folder of pictures.
        run: folder to write.
        size_px: width and height of the pictures.
        estimator: what finds the poses, a name for `load_estimator`.
        openpose: folder of OpenPose files to take the poses from instead.
        figure: how the poses will be drawn, a name for `load_style`; by default as the paper does for OpenPose's.
        crop: x, y, width, height of the part to use; by default the largest that holds the person.
        fps: rate of a folder's pictures.
        only_report: stop once the report is written.

    Returns:
        None after `only_report`.

    Raises:
        UserError: the video or the poses cannot be read or do not belong together, or nothing can be learnt from it.
    """
    if any(side < 64 or side % 32 for side in size_px):
        raise UserError(f"Sizes must be multiples of 32 and at least 64 pixels, not {size_px[0]} x {size_px[1]}.")
    style = load_style(figure or ("edn" if openpose else "limbs"))
    material = open_material(video, fps)
    see, by = _seer(estimator, openpose)
    data = run / "data"
    watched = watch(material, see, data / "watched", by=by)
    if openpose is not None:
        _check_labels(material, openpose, watched)
    timing = constant_rate(watched.times_s)
    report, track, stills = _judge(material, watched, timing, size_px, crop)
    _publish(report, track, stills, run)
    if report.reasons or report.motion is None:
        forget(data / "watched")
        raise UserError(f"{video} cannot be used: {'; '.join(report.reasons)} (see {run / 'report.html'}).")
    if only_report:
        return None
    (data / "prepare.json").unlink(missing_ok=True)  # written last: it says that the rest is whole
    learnt = training_frames(len(track.poses), timing.fps)
    save_poses(data / "poses.npz", track.poses)
    plate = cut_pictures(
        material, timing, _crop(report), track.poses, data / "frames.mp4", learnt if report.static else 0
    )
    cv2.imwrite(str(data / "plate.png"), cv2.cvtColor(plate, cv2.COLOR_RGB2BGR))
    prepared = Prepared(
        video=video.name,
        width_px=size_px[0],
        height_px=size_px[1],
        fps=timing.fps,
        frames=len(track.poses),
        seen=int(track.seen.sum()),
        motion=report.motion,
        proportions=measure_proportions(lengths(pose) for pose in track.poses[:learnt] if pose and observe(pose)),
        figure_style=style.name,
        figure_version=style.version,
        source_fps=timing.source_fps,
        crop=report.crop,
        static=report.static,
    )
    draft = data / "prepare.json.new"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(prepared), indent=2) + b"\n")
    draft.replace(data / "prepare.json")
    forget(data / "watched")
    return prepared


def training_frames(frames: int, fps: float) -> int:
    """How many of so many frames are for training; the rest is held out."""
    return frames - round(min(HELD_OUT_S * fps, HELD_OUT_PART * frames))


def load_prepared(data: Path) -> Prepared:
    """Read `prepare.json`.

    Raises:
        UserError: the folder was not made by `trainer prepare`.
    """
    try:
        return msgspec.json.decode((data / "prepare.json").read_bytes(), type=Prepared)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{data} holds no prepared footage: run `trainer prepare VIDEO --out {data}` first.") from error


def save_poses(path: Path, poses: list[Pose | None]) -> None:
    """Write one row per frame; rows of frames with nobody in them are zero."""
    some = next(pose for pose in poses if pose)
    rows: dict[str, NDArray[np.float32]] = {
        field: np.stack([getattr(pose, field) if pose else np.zeros_like(getattr(some, field)) for pose in poses])
        for field in ("xy", "depth", "confidence")
    }
    np.savez_compressed(path, allow_pickle=False, seen=np.array([pose is not None for pose in poses]), **rows)


def load_poses(path: Path) -> list[Pose | None]:
    """The inverse of `save_poses`."""
    with np.load(path, allow_pickle=False) as rows:
        xy, depth, confidence, seen = rows["xy"], rows["depth"], rows["confidence"], rows["seen"]
    return [Pose(xy[i], depth[i], confidence[i]) if seen[i] else None for i in range(len(seen))]


def _seer(estimator: str, openpose: Path | None) -> tuple[See, str]:
    """What finds the person in a picture, and its name."""
    if openpose is not None:
        poses = read_openpose(openpose)
        return lambda number, _: poses[number] if number < len(poses) else None, f"{openpose.resolve()} {len(poses)}"
    model = load_estimator(estimator, threads=os.cpu_count() or 1)
    return lambda _, rgb: model.estimate(rgb), estimator


def _check_labels(material: Material, openpose: Path, watched: Watched) -> None:
    labels, frames = len(read_openpose(openpose)), len(watched.times_s)
    if labels != frames:
        raise UserError(
            f"{openpose} has poses for {labels} frames, but {material.path} has {frames}: run OpenPose on this very "
            "video."
        )


def _judge(
    material: Material,
    watched: Watched,
    timing: Timing,
    size_px: tuple[int, int],
    box: tuple[int, int, int, int] | None,
) -> tuple[Report, Track, list[tuple[int, Rgb]]]:
    """Everything that is known before any picture is made; the stills are those of the report."""
    counts = np.bincount(timing.picked, minlength=len(watched.times_s))
    new_takes = cuts(watched.glances[:, -1])
    steady, again = Steady(), set(new_takes.tolist())
    poses, parts, seen = list[Pose | None](), list[list[bool]](), list[bool]()
    for number, (raw, at_s) in enumerate(zip(watched.poses(), watched.times_s.tolist(), strict=True)):
        if number in again:
            steady.reset()
        pose = steady.step(raw, at_s)
        for _ in range(counts[number]):
            poses.append(pose)
            parts.append(seen_parts(raw))
            seen.append(raw is not None)
    people = [pose for pose in poses if pose is not None]
    whole = watched.size_px
    if box is not None:
        crop = Crop.chosen(box, whole, size_px)
    else:
        centre = (whole[0] / 2, whole[1] / 2)
        crop = best_crop(people, whole, size_px) if people else Crop.at(whole, size_px, centre)
    stills = [(int(np.searchsorted(timing.picked, number)), still) for number, still in watched.stills()]
    stills = [(number, still) for number, still in stills if number < len(poses)]
    track = Track(
        poses=[crop.pose(pose) if pose else None for pose in poses],
        seen=np.array(seen),
        parts=np.array(parts),
        glances=watched.glances[timing.picked],
        breaks=_first_of(np.union1d(np.searchsorted(timing.picked, new_takes), leaps(poses)), round(timing.fps / 2)),
        fps=timing.fps,
    )
    report = Report(
        video=material.path.name,
        length_s=len(poses) / timing.fps,
        person_s=sum(seen) / timing.fps,
        source_px=whole,
        source_fps=timing.source_fps,
        constant_rate=timing.constant,
        fps=timing.fps,
        crop=crop.box,
        size_px=size_px,
        sharpness=watched.sharpness,
        crowded=watched.crowded,
        room_shift=room_shift([still for _, still in stills], [_small(poses[n], still, whole) for n, still in stills]),
    )
    tight = tight_crop(people, whole, size_px) if people else None
    shown = stills[:: max(1, len(stills) // STILLS)][:STILLS]
    return judge(report, track, training_frames(len(poses), timing.fps), tight), track, shown


def _small(pose: Pose | None, still: Rgb, whole: tuple[int, int]) -> Pose | None:
    """The pose in a still's pixels."""
    k = np.float32(len(still) / whole[1])
    return pose and Pose(k * pose.xy, k * pose.depth, pose.confidence)


def _first_of(numbers: NDArray[np.intp], apart: int) -> NDArray[np.intp]:
    """Of numbers that are near each other the first."""
    return numbers[np.diff(numbers, prepend=-apart - 1) > apart]


def _crop(report: Report) -> Crop:
    return Crop(*report.crop, report.size_px)


def _publish(report: Report, track: Track, stills: Sequence[tuple[int, Rgb]], run: Path) -> None:
    """Write the report, and print it."""
    draft = run / "report.html.new"
    draft.write_text(page(report, track, stills), encoding="utf-8")
    draft.replace(run / "report.html")
    table = Table(show_header=False, box=None, title=report.video, title_justify="left")
    for name, text in report.facts():
        table.add_row(name, text)
    console = Console()
    console.print(table)
    for sentence in report.advice:
        console.print(f"- {sentence}", markup=False, highlight=False)
