"""The pictures that training reads, made of the footage, and the empty room."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from realtime.frame import Rgb
from realtime.pose.pose import Pose
from realtime.video import VideoWriter
from trainer.footage.crop import Crop
from trainer.footage.plate import PlateEstimator
from trainer.footage.prepared import GREY
from trainer.footage.remux import remux
from trainer.footage.source import FootageSource, Timing, VideoFile

ROOM, ALL_ROOM = 2, 3
"""Times the footage's own size that the pictures, and they and what is there already, may take on the disk."""


def cut_pictures(
    source: FootageSource, timing: Timing, crop: Crop, poses: Sequence[Pose | None], out: Path, learnt: int
) -> Rgb:
    """Write the pictures that are used.

    Footage that is just what the network wants is kept as it is, other footage is encoded nearly without loss, unless
    that, with the poses beside it, takes too much room.

    Returns:
        The plate of the first `learnt` pictures, grey where there are none.
    """
    frames, (width, height) = len(timing.picked), crop.size_px
    plain = isinstance(source, VideoFile) and timing.constant and timing.fps == timing.source_fps
    kept = plain and crop == Crop(0, 0, width, height, crop.size_px) and remux(source.path, out, timing.fps, frames)
    counts = np.bincount(timing.picked)
    estimator = PlateEstimator(frames)
    taken_bytes = sum(file.stat().st_size for file in out.parent.glob("*.npz"))
    most_bytes = min(ROOM * source.size_bytes, max(source.size_bytes, ALL_ROOM * source.size_bytes - taken_bytes))
    bit_s = int(8 * most_bytes * timing.fps / frames)
    writer = (
        nullcontext() if kept else VideoWriter(out, timing.fps, crf=10, gop=12, pix_fmt="yuv444p", most_bit_s=bit_s)
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress, writer as video:
        task, done = progress.add_task("Cutting", total=frames), 0
        for count, (rgb, _) in zip(counts.tolist(), source.read(), strict=False):
            if not count:
                continue
            picture = crop.picture(rgb)
            for _ in range(count):
                if done < learnt:
                    estimator.add(picture, poses[done])
                if video is not None:
                    video.write(picture)
                done += 1
            progress.advance(task, count)
    return estimator.estimate() if learnt else np.full((height, width, 3), GREY, np.uint8)
