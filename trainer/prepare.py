"""From a video to training data: pictures at network size, the pose in each, the empty room, the person's range.

DATA/
  frames.mp4     every picture, square, nearly lossless, a key frame every 12 so that training can start anywhere
  poses.npz      xy [N, K, 2], depth [N, K], confidence [N, K], float32, in pixels of frames.mp4; seen [N] bool
  plate.png      the empty room
  prepare.json   `Prepared`
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.pose.archive import save_poses
from realtime.pose.load import Estimator, load_estimator
from realtime.pose.motion import MotionRange, measure_range, observe
from realtime.pose.openpose import read_openpose
from realtime.pose.pose import Pose
from realtime.pose.proportions import Proportions, lengths, measure_proportions
from realtime.pose.steady import Steady
from realtime.pose.styles import load_style
from realtime.video import VideoWriter, count_frames, frame_rate, read_video
from trainer.plate import PlateEstimator

HELD_OUT_S, HELD_OUT_PART = 40.0, 0.15
"""The end of the footage, so long but no more than this part, is never learnt from in any way, only judged on."""
LEAST_SEEN_S = 0.25
"""Less of the person than this and there is nothing to learn from."""


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


@dataclass(frozen=True, slots=True)
class Crop:
    """The largest centred part of a picture that has the network's aspect ratio, resized to the network's size."""

    x: int
    y: int
    width: int
    height: int
    size_px: tuple[int, int]
    """Width and height of the network's pictures."""

    @classmethod
    def of(cls, picture: Rgb, size_px: tuple[int, int]) -> "Crop":
        """The crop for pictures of this shape."""
        height, width, _ = picture.shape
        k = min(width / size_px[0], height / size_px[1])
        w, h = round(k * size_px[0]), round(k * size_px[1])
        return cls((width - w) // 2, (height - h) // 2, w, h, size_px)

    def picture(self, rgb: Rgb) -> Rgb:
        """uint8 [H, W, 3] of the network's size."""
        part = rgb[self.y : self.y + self.height, self.x : self.x + self.width]
        how = cv2.INTER_AREA if self.height > self.size_px[1] else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(part, self.size_px, interpolation=how), np.uint8)

    def pose(self, pose: Pose) -> Pose:
        """The pose in the cropped picture's pixels."""
        k = np.float32(self.size_px[1] / self.height)
        corner = np.array([self.x, self.y], np.float32)
        return Pose((pose.xy - corner) * k, pose.depth * k, pose.confidence)


def prepare(
    video: Path,
    out: Path,
    *,
    size_px: tuple[int, int],
    estimator: str = "own",
    openpose: Path | None = None,
    figure: str = "limbs",
) -> Prepared:
    """Prepare a video for training.

    Args:
        video: the footage.
        out: folder to write.
        size_px: width and height of the pictures.
        estimator: what finds the poses, a name for `load_estimator`.
        openpose: folder of OpenPose files to take the poses from instead.
        figure: how the poses will be drawn, a name for `load_style`.

    Raises:
        UserError: the video or the poses cannot be read or do not belong together, or nobody is in them.
    """
    if any(side < 64 or side % 32 for side in size_px):
        raise UserError(f"Sizes must be multiples of 32 and at least 64 pixels, not {size_px[0]} x {size_px[1]}.")
    style, total = load_style(figure), count_frames(video)
    watched = (
        _estimated(video, load_estimator(estimator, threads=os.cpu_count() or 1))
        if openpose is None
        else _labelled(video, openpose, read_openpose(openpose))
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "prepare.json").unlink(missing_ok=True)  # written last: it says that the rest is whole
    steady, plate = Steady(), PlateEstimator(total)
    poses: list[Pose | None] = []
    seen = 0
    crop: Crop | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    fps = frame_rate(video)
    with (
        Progress(*columns) as progress,
        VideoWriter(out / "frames.mp4", fps, crf=10, gop=12, pix_fmt="yuv444p") as writer,
    ):
        task = progress.add_task("Finding the person", total=total or None)
        for rgb, at_s, estimated in watched:
            crop = crop or Crop.of(rgb, size_px)
            seen += estimated is not None
            pose = steady.step(estimated, at_s)
            if pose is not None:
                pose = crop.pose(pose)
            picture = crop.picture(rgb)
            if not total or len(poses) < training_frames(total, fps):
                plate.add(picture, pose)
            writer.write(picture)
            poses.append(pose)
            progress.advance(task)
        if seen < LEAST_SEEN_S * fps:
            raise UserError(f"Nobody was found in {video}: film one person, whole body in the picture, in good light.")
    learnt = [pose for pose in poses[: training_frames(len(poses), fps)] if pose]
    standing = [place for place in map(observe, learnt) if place]
    if not standing:
        raise UserError(f"The feet are never seen in {video}: film the whole body, head to toes.")
    save_poses(out / "poses.npz", poses)
    cv2.imwrite(str(out / "plate.png"), cv2.cvtColor(plate.estimate(), cv2.COLOR_RGB2BGR))
    prepared = Prepared(
        video=video.name,
        width_px=size_px[0],
        height_px=size_px[1],
        fps=fps,
        frames=len(poses),
        seen=seen,
        motion=measure_range(standing),
        proportions=measure_proportions(lengths(pose) for pose in learnt if observe(pose)),
        figure_style=style.name,
        figure_version=style.version,
    )
    (out / "prepare.json").write_bytes(msgspec.json.format(msgspec.json.encode(prepared), indent=2) + b"\n")
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


def _estimated(video: Path, estimator: Estimator) -> Iterator[tuple[Rgb, float, Pose | None]]:
    """Every picture of a video, its time in seconds, and the pose that is seen in it."""
    for rgb, at_s in read_video(video):
        yield rgb, at_s, estimator.estimate(rgb)


def _labelled(video: Path, openpose: Path, poses: list[Pose | None]) -> Iterator[tuple[Rgb, float, Pose | None]]:
    """Every picture of a video, its time in seconds, and the pose that OpenPose saw in it."""
    count = 0
    for count, (rgb, at_s) in enumerate(read_video(video), 1):
        yield rgb, at_s, poses[count - 1] if count <= len(poses) else None
    if count != len(poses):
        raise UserError(
            f"{openpose} has poses for {len(poses)} frames, but {video} has {count}: run OpenPose on this very video."
        )
